//! The way between a phone and the node: datagrams that are lost, doubled and overtaken, and
//! streams that keep their order until they break.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dice::Dice;
use crate::faults::Weather;

/// A stream, and when the last of what was sent each way arrives.
struct Stream {
    phone: usize,
    to_node: Duration,
    to_phone: Duration,
}

/// All ways.
pub(crate) struct Network {
    dice: Dice,
    streams: BTreeMap<u64, Stream>,
    /// By which stream each phone sends.
    lines: Vec<Option<u64>>,
}

impl Network {
    pub(crate) fn new(dice: Dice, phones: usize) -> Self {
        Self {
            dice,
            streams: BTreeMap::new(),
            lines: vec![None; phones],
        }
    }

    /// When a message arrives: never, once or twice.
    pub(crate) fn flights(
        &mut self,
        now: Duration,
        weather: &Weather,
        phone: usize,
        connection: Option<u64>,
        to_node: bool,
    ) -> Vec<Duration> {
        let Some(connection) = connection else {
            let copies = 1 + u64::from(self.dice.chance(weather.twice));
            return (0..copies)
                .filter_map(|_| {
                    let lost = self.dice.chance(weather.loss);
                    let way = self.dice.millis(1, weather.delay);
                    (!lost).then_some(now + way)
                })
                .collect();
        };
        let way = self.dice.millis(1, weather.delay);
        let Some(stream) = self.streams.get_mut(&connection) else {
            return Vec::new();
        };
        debug_assert_eq!(stream.phone, phone);
        let last = match to_node {
            true => &mut stream.to_node,
            false => &mut stream.to_phone,
        };
        // Later than the one before, by as little as can be told.
        *last = (*last + Duration::from_micros(1)).max(now + way);
        vec![*last]
    }

    pub(crate) fn connected(&mut self, phone: usize, connection: u64) {
        let stream = Stream {
            phone,
            to_node: Duration::ZERO,
            to_phone: Duration::ZERO,
        };
        self.streams.insert(connection, stream);
        self.lines[phone].get_or_insert(connection);
    }

    /// The phone at the other end of a stream.
    pub(crate) fn phone(&self, connection: u64) -> Option<usize> {
        self.streams.get(&connection).map(|stream| stream.phone)
    }

    /// By which stream a phone sends.
    pub(crate) fn line(&self, phone: usize) -> Option<u64> {
        self.lines[phone]
    }

    /// The same unless it is broken and the phone does not know.
    pub(crate) fn live_line(&self, phone: usize) -> Option<u64> {
        self.lines[phone].filter(|line| self.streams.contains_key(line))
    }

    pub(crate) fn all(&self) -> Vec<(usize, u64)> {
        let streams = self.streams.iter();
        streams
            .map(|(number, stream)| (stream.phone, *number))
            .collect()
    }

    /// A stream is no more; the phone has not noticed yet.
    pub(crate) fn broken(&mut self, connection: u64) {
        self.streams.remove(&connection);
    }

    /// A phone notices that its stream is gone. Whether it is left without any.
    pub(crate) fn hung_up(&mut self, phone: usize, connection: u64) -> bool {
        self.streams.remove(&connection);
        if self.lines[phone] == Some(connection) {
            let mut others = self.streams.iter().filter(|(_, it)| it.phone == phone);
            self.lines[phone] = others.next().map(|(number, _)| *number);
        }
        self.lines[phone].is_none()
    }
}
