//! Who is there in a world, and what they are going to do.

use std::sync::Arc;

use bus_schema::Reason;
use engine::Transport;
use sip::EndpointSettings;

use super::agents::Wish;
use super::{Event, World};
use crate::dice::Dice;
use crate::node::DOMAIN;
use crate::phone::{Act, Phone, Temper};

/// The other provider's domain, which has to be looked up.
const FAR: &str = "far.test";

impl World {
    /// Decides what is going to happen.
    pub(super) fn cast(&mut self) {
        let count = self.phones.len();
        for index in 0..count {
            self.teams
                .insert(format!("p{index}@{DOMAIN}"), vec![(index, 1000)]);
        }
        let members = 1 + self.dice.index(3);
        let team = (0..members).map(|_| {
            let q = *self.dice.pick(&[1000, 1000, 500]);
            (self.dice.index(count), q)
        });
        let mut team: Vec<_> = team.collect();
        team.sort_unstable();
        team.dedup_by_key(|(index, _)| *index);
        self.teams.insert(format!("team@{DOMAIN}"), team);
        self.start();
        for _ in 0..2 + self.dice.roll(6) {
            let (phone, uri) = (self.dice.index(count), self.somebody());
            let wait = self.dice.millis(0, 60_000);
            self.after(wait, Event::Act(phone, Act::Dial(uri)));
        }
        for _ in 0..self.dice.roll(4) {
            let wish = Wish::Originate {
                from: self.somebody(),
                to: self.somebody(),
                ring: match self.dice.chance(30) {
                    true => Some(self.dice.millis(1_000, 20_000)),
                    false => None,
                },
            };
            let wait = self.dice.millis(0, 60_000);
            self.after(wait, Event::Agent(wish));
        }
        for _ in 0..self.dice.roll(4) {
            let reasons = [None, Some(Reason::Rejected), Some(Reason::Busy)];
            let wish = Wish::Hangup(*self.dice.pick(&reasons));
            let wait = self.dice.millis(0, 60_000);
            self.after(wait, Event::Agent(wish));
        }
        for at in self.weather.crashes.clone() {
            self.after(at, Event::Crash);
        }
        for at in self.weather.resets.clone() {
            self.after(at, Event::Reset);
        }
        if let Some((at, _)) = self.weather.drain {
            self.after(at, Event::Drain);
        }
    }

    fn somebody(&mut self) -> String {
        let count = self.phones.len();
        match self.dice.roll(20) {
            0 => format!("sip:nobody@{DOMAIN}"),
            1 => format!("sip:x@{FAR}"),
            2 => format!("sip:x@{FAR};transport=tcp"),
            3..=7 => format!("sip:team@{DOMAIN}"),
            _ => format!("sip:p{}@{DOMAIN}", self.dice.index(count)),
        }
    }
}

pub(super) fn phone(index: usize, dice: &mut Dice, settings: &Arc<EndpointSettings>) -> Phone {
    let transports = [
        Transport::Udp,
        Transport::Udp,
        Transport::Tcp,
        Transport::Ws,
    ];
    let transport = *dice.pick(&transports);
    let temper = match dice.roll(16) {
        0 => Temper::Mute,
        1 => Temper::Dying,
        2 => Temper::Absent,
        3 => Temper::Firm(486),
        4..=8 => Temper::Friendly,
        _ => Temper::Moody,
    };
    Phone::new(index, transport, temper, settings, dice.fork())
}
