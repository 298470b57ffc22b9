//! What goes wrong in a run, drawn once from its seed; and what is planted, to see it found.

use std::time::Duration;

use engine::Timeouts;

use crate::dice::Dice;

/// A bug that is put in on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Plant {
    #[default]
    None,
    /// No BYE of ours is sent.
    DropBye,
    /// A record is never deleted.
    KeepRecord,
    /// `call.ended` is told twice.
    EndTwice,
    /// A CANCEL is not heard.
    DeafToCancel,
    /// A leg does not close.
    NeverClose,
    /// A leg whose call is gone does not wait for what that had still to say.
    Hasty,
    /// Every third deadline is forgotten.
    LoseTimer,
    /// What was busy is told as rejected.
    WrongCause,
    /// A start does not look at what had ended.
    EndAgain,
    /// A start does not look for calls without a record.
    LookAway,
}

impl Plant {
    /// All bugs there are.
    pub(crate) const ALL: [Self; 10] = [
        Self::DropBye,
        Self::KeepRecord,
        Self::EndTwice,
        Self::DeafToCancel,
        Self::NeverClose,
        Self::Hasty,
        Self::LoseTimer,
        Self::WrongCause,
        Self::EndAgain,
        Self::LookAway,
    ];
}

/// When a panic strikes: before a letter was read, or after all it led to was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    Before,
    After,
}

/// How bad it is.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// Datagrams lost, in a hundred.
    pub(crate) loss: u64,
    /// Datagrams that come twice.
    pub(crate) twice: u64,
    /// The longest way of a datagram, in milliseconds: others overtake it.
    pub(crate) delay: u64,
    /// Timers that are late, in a hundred, and by how much at most.
    pub(crate) late: u64,
    pub(crate) late_by: u64,
    /// Records that cannot be kept, or that take longer than a call waits.
    pub(crate) store_fails: u64,
    pub(crate) store_slow: u64,
    /// The arbiter pauses between two letters, in a hundred.
    pub(crate) pauses: u64,
    /// The process dies, then.
    pub(crate) crashes: Vec<Duration>,
    /// It dies shortly after a call has ended, in a hundred.
    pub(crate) treacherous: u64,
    /// Letters that bring out a bug of ours, in ten thousand: a panic is caught.
    pub(crate) bugs: u64,
    /// Connections that break.
    pub(crate) resets: Vec<Duration>,
    /// The node is told to drain: when, and how long it may take.
    pub(crate) drain: Option<(Duration, Duration)>,
    pub(crate) timeouts: Timeouts,
    pub(crate) digest: bool,
}

impl Weather {
    /// Whether nothing is lost, so that every INVITE is answered.
    pub(crate) fn is_lossless(&self) -> bool {
        self.loss == 0
            && self.crashes.is_empty()
            && self.treacherous == 0
            && self.bugs == 0
            && self.resets.is_empty()
    }

    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let loss = *dice.pick(&[0, 0, 2, 10, 30]);
        let crashes = match dice.roll(10) {
            0..=6 => 0,
            7 | 8 => 1,
            _ => 2,
        };
        let resets = if dice.chance(20) { 1 + dice.roll(2) } else { 0 };
        let mut moments =
            |count, most| -> Vec<Duration> { (0..count).map(|_| dice.millis(50, most)).collect() };
        let crashes = moments(crashes, 60_000);
        let resets = moments(resets, 60_000);
        Self {
            loss,
            twice: *dice.pick(&[0, 5, 20]),
            delay: *dice.pick(&[5, 60, 450]),
            late: *dice.pick(&[0, 10, 50]),
            late_by: *dice.pick(&[20, 300, 3_000]),
            store_fails: *dice.pick(&[0, 0, 20]),
            store_slow: *dice.pick(&[0, 0, 30]),
            pauses: *dice.pick(&[0, 0, 5]),
            treacherous: if dice.chance(12) { 50 } else { 0 },
            bugs: if dice.chance(12) { 100 } else { 0 },
            crashes,
            resets,
            drain: dice
                .chance(7)
                .then(|| (dice.millis(100, 60_000), dice.millis(0, 20_000))),
            timeouts: Timeouts {
                ring: Duration::from_secs(*dice.pick(&[5, 20, 60, 200])),
                call: Duration::from_secs(*dice.pick(&[40, 600])),
                ..Timeouts::default()
            },
            digest: dice.chance(40),
        }
    }
}
