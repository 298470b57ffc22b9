//! A call's messages as a ladder: a column for each leg, time downwards.

use std::fmt::Write;

use bus_schema::Traced;

/// Between two columns.
const STEP: usize = 30;
/// Before the first one, for the time.
const MARGIN: usize = 12;

/// Draws it; with `messages` each is printed whole below its arrow.
pub(crate) fn draw(traced: &Traced, messages: bool) -> String {
    let columns = columns(traced);
    let ours = columns
        .iter()
        .position(|column| column.is_none())
        .unwrap_or(0);
    let mut out = String::new();
    head(&mut out, traced, &columns);
    for message in &traced.messages {
        let theirs = columns
            .iter()
            .position(|column| column.as_deref() == Some(&*message.leg))
            .unwrap_or(0);
        let (from, to) = if message.sent {
            (ours, theirs)
        } else {
            (theirs, ours)
        };
        let line = arrow(columns.len(), from, to, &title(&message.text));
        // Writing to a String does not fail.
        let _infallible = writeln!(out, "{:<MARGIN$}{line}", elapsed(message.offset_us));
        if messages {
            for line in message.text.trim_end().lines() {
                let _infallible = writeln!(out, "{:MARGIN$}{line}", "");
            }
            out.push('\n');
        }
    }
    if traced.cut {
        out.push_str("(what came before is left out: it would be too long)\n");
    }
    out.truncate(out.trim_end().len());
    out
}

/// The caller's leg, ourselves (`None`), and the other legs.
fn columns(traced: &Traced) -> Vec<Option<String>> {
    let mut legs: Vec<&str> = Vec::new();
    for message in &traced.messages {
        if !legs.contains(&&*message.leg) {
            legs.push(&message.leg);
        }
    }
    legs.sort_by_key(|leg| (leg.len(), *leg));
    let mut columns: Vec<_> = legs.into_iter().map(|leg| Some(leg.to_owned())).collect();
    columns.insert(1.min(columns.len()), None);
    columns
}

fn head(out: &mut String, traced: &Traced, columns: &[Option<String>]) {
    let peer = |leg: &str| {
        let mut of_leg = traced
            .messages
            .iter()
            .filter(|message| &*message.leg == leg);
        of_leg.next_back().map_or("", |message| &*message.peer)
    };
    let _infallible = writeln!(out, "{} on {}", traced.call, traced.node);
    for leg in columns.iter().flatten() {
        let _infallible = writeln!(out, "  {leg}: {}", peer(leg));
    }
    let mut line = " ".repeat(MARGIN);
    for column in columns {
        let name = column.as_deref().unwrap_or("ifbus");
        let _infallible = write!(line, "{name:<STEP$}");
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

/// One row: a bar for each column, and the arrow from one to another with its title on it.
fn arrow(columns: usize, from: usize, to: usize, title: &str) -> String {
    let (left, right) = (from.min(to), from.max(to));
    let mut row = String::new();
    for column in 0..columns {
        row.push('|');
        if column + 1 == columns {
            break;
        }
        if column == left {
            let width = (right - left) * STEP - 1;
            let mut title: String = title.chars().take(width.saturating_sub(6)).collect();
            title = format!(" {title} ");
            let text = format!("{title:-^width$}", width = width - 1);
            row.push_str(&if from < to {
                text + ">"
            } else {
                "<".to_owned() + &text
            });
        } else if column < left || column >= right {
            row.push_str(&" ".repeat(STEP - 1));
        } else {
            // The arrow passes here.
            row.pop();
        }
    }
    row
}

/// What an arrow is called: the method or status, and whether there is a body.
fn title(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let name = match first.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let cseq = header(message, "CSeq").and_then(|cseq| cseq.split_whitespace().nth(1));
            match cseq {
                Some(method) if method != "INVITE" => format!("{status} ({method})"),
                _ => status.to_owned(),
            }
        }
        None => first.split(' ').next().unwrap_or_default().to_owned(),
    };
    let body = message.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    match body {
        "" => name,
        _ if body.starts_with("v=0") => name + " (SDP)",
        _ => name + " (body)",
    }
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = message.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (this, value) = line.split_once(':')?;
        this.trim()
            .eq_ignore_ascii_case(name)
            .then_some(value.trim())
    })
}

fn elapsed(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros / 1000 % 1000)
}

#[cfg(test)]
mod tests {
    use bus_schema::{CallRef, Timestamp, TracedMessage};

    use super::*;

    fn message(offset_us: u64, leg: &str, sent: bool, text: &str) -> TracedMessage {
        TracedMessage {
            at: Timestamp(0),
            offset_us,
            leg: leg.into(),
            sent,
            peer: format!("udp 192.0.2.1:{}", leg.len()).into(),
            text: text.into(),
        }
    }

    const INVITE: &str = "INVITE sip:a@b SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\n";
    const BYE_OK: &str = "SIP/2.0 200 OK\r\nCSeq: 1 BYE\r\n\r\n";

    #[test]
    fn a_ladder_has_a_column_for_each_leg_and_an_arrow_for_each_message() {
        let call = CallRef::mint(7, 1_795_253_400_000, 1);
        let traced = Traced {
            node: "n1".into(),
            call,
            messages: vec![
                message(0, "a", false, INVITE),
                message(300, "b", true, INVITE),
                message(61_250_000, "b", false, BYE_OK),
            ],
            cut: true,
        };
        let drawn = draw(&traced, false);
        let rows: Vec<&str> = drawn.lines().collect();
        assert_eq!(rows[0], format!("{call} on n1"));
        assert_eq!(rows[1], "  a: udp 192.0.2.1:1");
        let expected = [
            "            a                             ifbus                         b",
            "0.000       |------- INVITE (SDP) ------->|                             |",
            "0.000       |                             |------- INVITE (SDP) ------->|",
            "61.250      |                             |<------- 200 OK (BYE) -------|",
            "(what came before is left out: it would be too long)",
        ];
        assert_eq!(rows[3..], expected, "{drawn}");
        assert!(
            draw(&traced, true).contains("CSeq: 1 BYE"),
            "messages are printed whole"
        );
    }

    #[test]
    fn an_arrow_passes_the_columns_between() {
        let gap = " ".repeat(STEP - 1);
        let row = arrow(4, 1, 3, "200 OK");
        assert!(row.starts_with(&format!("|{gap}|---")), "{row}");
        assert!(row.ends_with("--->|"), "{row}");
        assert_eq!(row.len(), 3 * STEP + 1, "{row}");
        assert_eq!(arrow(4, 3, 1, "ACK").len(), 3 * STEP + 1);
    }
}
