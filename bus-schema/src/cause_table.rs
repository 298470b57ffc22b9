//! The cause table as data: our reason, the Q.850 cause, the SIP status.
//!
//! [`REASONS`] is what we say; [`STATUS_TO_Q850`] and [`Q850_TO_STATUS`] are RFC 3398, 7.2.4.1 and
//! 8.2.6.1, for translating what others said.

use crate::cause::Reason;

/// What one reason is called in the other two vocabularies.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Our word.
    pub reason: Reason,
    /// The Q.850 cause number.
    pub q850: Option<u8>,
    /// The final status that refuses an INVITE for it; a BYE has none.
    pub sip_status: Option<u16>,
}

const fn row_of(reason: Reason, q850: u8, sip_status: u16) -> Row {
    Row {
        reason,
        q850: if q850 == 0 { None } else { Some(q850) },
        sip_status: if sip_status == 0 {
            None
        } else {
            Some(sip_status)
        },
    }
}

/// Every reason that can end a call or refuse one. 0 in the source stands for "none".
pub static REASONS: [Row; 38] = {
    use Reason as R;
    [
        row_of(R::NormalClearing, 16, 0),
        row_of(R::Busy, 17, 486),
        row_of(R::NoUserResponse, 18, 408),
        row_of(R::NoAnswer, 19, 480),
        row_of(R::SubscriberAbsent, 20, 480),
        row_of(R::Rejected, 21, 603),
        row_of(R::NumberChanged, 22, 410),
        row_of(R::Redirected, 23, 302),
        row_of(R::AnsweredElsewhere, 26, 0),
        row_of(R::DestinationOutOfOrder, 27, 502),
        row_of(R::InvalidNumber, 1, 404),
        row_of(R::NoRoute, 3, 404),
        row_of(R::NormalUnspecified, 31, 480),
        row_of(R::Congestion, 42, 503),
        row_of(R::NetworkOutOfOrder, 38, 503),
        row_of(R::TemporaryFailure, 41, 503),
        row_of(R::NotPermitted, 57, 403),
        row_of(R::IncompatibleMedia, 65, 488),
        row_of(R::TimerExpired, 102, 504),
        row_of(R::ProtocolError, 111, 400),
        row_of(R::Interworking, 127, 500),
        row_of(R::OriginatorCancel, 16, 487),
        row_of(R::Transferred, 16, 0),
        row_of(R::MaxDuration, 16, 0),
        row_of(R::MediaTimeout, 41, 0),
        row_of(R::GatewayDown, 38, 503),
        row_of(R::SrtpError, 65, 488),
        row_of(R::Unwanted, 21, 607),
        row_of(R::IdentityFailed, 21, 403),
        row_of(R::SystemShutdown, 41, 503),
        row_of(R::Restart, 41, 0),
        row_of(R::FailoverTimeout, 41, 0),
        row_of(R::Internal, 41, 500),
        row_of(R::AgentLost, 41, 480),
        row_of(R::ConcurrencyLimit, 42, 503),
        row_of(R::PolicyDenied, 57, 403),
        row_of(R::ApprovalDenied, 57, 403),
        row_of(R::Inactivity, 16, 0),
    ]
};

/// RFC 3398 7.2.4.1: the cause a final status from the SIP side becomes. 487 and 488/606 have
/// none there: the first is the caller's own doing, the others are 65 by their Warning.
pub static STATUS_TO_Q850: [(u16, u8); 36] = [
    (400, 41),
    (401, 21),
    (402, 21),
    (403, 21),
    (404, 1),
    (405, 63),
    (406, 79),
    (407, 21),
    (408, 102),
    (410, 22),
    (413, 127),
    (414, 127),
    (415, 79),
    (416, 127),
    (420, 127),
    (421, 127),
    (423, 127),
    (480, 18),
    (481, 41),
    (482, 25),
    (483, 25),
    (484, 28),
    (485, 1),
    (486, 17),
    (488, 65),
    (500, 41),
    (501, 79),
    (502, 38),
    (503, 41),
    (504, 102),
    (505, 127),
    (513, 127),
    (600, 17),
    (603, 21),
    (604, 1),
    (606, 65),
];

/// RFC 3398 8.2.6.1: the status a Q.850 cause becomes. Any other is 500.
pub static Q850_TO_STATUS: [(u8, u16); 31] = [
    (1, 404),
    (2, 404),
    (3, 404),
    (17, 486),
    (18, 408),
    (19, 480),
    (20, 480),
    (21, 403),
    (22, 410),
    (23, 410),
    (26, 404),
    (27, 502),
    (28, 484),
    (29, 501),
    (31, 480),
    (34, 503),
    (38, 503),
    (41, 503),
    (42, 503),
    (47, 503),
    (55, 403),
    (57, 403),
    (58, 503),
    (65, 488),
    (70, 488),
    (79, 501),
    (87, 403),
    (88, 503),
    (102, 504),
    (111, 500),
    (127, 500),
];

pub(crate) fn row(reason: Reason) -> Option<&'static Row> {
    REASONS.iter().find(|row| row.reason == reason)
}

/// RFC 3398 7.2.4.1.
pub fn q850_of_status(status: u16) -> Option<u8> {
    let at = STATUS_TO_Q850
        .binary_search_by_key(&status, |&(status, _)| status)
        .ok()?;
    Some(STATUS_TO_Q850[at].1)
}

/// RFC 3398 8.2.6.1.
pub fn status_of_q850(cause: u8) -> u16 {
    Q850_TO_STATUS
        .binary_search_by_key(&cause, |&(cause, _)| cause)
        .map_or(500, |at| Q850_TO_STATUS[at].1)
}

pub(crate) fn reason_of_status(status: u16) -> Reason {
    match status {
        300..=399 => Reason::Redirected,
        400 => Reason::ProtocolError,
        401 | 402 | 407 => Reason::Unauthorized,
        403 | 603 => Reason::Rejected,
        404 | 484 | 485 | 604 => Reason::InvalidNumber,
        408 => Reason::NoUserResponse,
        504 => Reason::TimerExpired,
        410 => Reason::NumberChanged,
        428 | 436 | 437 | 438 => Reason::IdentityFailed,
        480 => Reason::NoAnswer,
        486 | 600 => Reason::Busy,
        487 => Reason::OriginatorCancel,
        415 | 488 | 606 => Reason::IncompatibleMedia,
        481 | 500 | 503 => Reason::TemporaryFailure,
        502 => Reason::DestinationOutOfOrder,
        607 | 608 => Reason::Unwanted,
        _ => Reason::Interworking,
    }
}

pub(crate) fn reason_of_q850(cause: u8) -> Reason {
    match cause {
        1 | 28 => Reason::InvalidNumber,
        2 | 3 => Reason::NoRoute,
        16 => Reason::NormalClearing,
        17 => Reason::Busy,
        18 => Reason::NoUserResponse,
        19 => Reason::NoAnswer,
        20 => Reason::SubscriberAbsent,
        21 => Reason::Rejected,
        22 => Reason::NumberChanged,
        23 => Reason::Redirected,
        26 => Reason::AnsweredElsewhere,
        27 => Reason::DestinationOutOfOrder,
        38 => Reason::NetworkOutOfOrder,
        41 => Reason::TemporaryFailure,
        50 | 52 | 53 | 55 | 57 | 87 => Reason::NotPermitted,
        58 | 65 | 70 | 88 => Reason::IncompatibleMedia,
        102 => Reason::TimerExpired,
        // What is left goes by its class (Q.850 table 1).
        0..=31 => Reason::NormalUnspecified,
        32..=47 => Reason::Congestion,
        48..=79 => Reason::Interworking,
        80..=111 => Reason::ProtocolError,
        112..=u8::MAX => Reason::Interworking,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_say_each_thing_once() {
        assert!(STATUS_TO_Q850.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(Q850_TO_STATUS.windows(2).all(|w| w[0].0 < w[1].0));
        for (at, row) in REASONS.iter().enumerate() {
            assert!(REASONS[..at].iter().all(|r| r.reason != row.reason));
        }
    }

    #[test]
    fn every_reason_that_ends_a_call_has_a_row() {
        let first = Reason::ALL
            .iter()
            .position(|&reason| reason == Reason::NormalClearing)
            .unwrap();
        for (at, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(row(reason).is_some(), at >= first, "{reason}");
        }
    }

    #[test]
    fn a_reason_survives_its_own_q850_cause() {
        for row in &REASONS {
            let Some(q850) = row.q850 else { continue };
            let back = reason_of_q850(q850);
            let same_cause = back == row.reason || back.q850() == row.q850;
            assert!(same_cause, "{} -> {q850} -> {back}", row.reason);
        }
    }

    #[test]
    fn refusals_agree_with_rfc_3398() {
        for (reason, status) in [
            (Reason::Busy, 486),
            (Reason::NoUserResponse, 408),
            (Reason::NoAnswer, 480),
            (Reason::NumberChanged, 410),
            (Reason::DestinationOutOfOrder, 502),
            (Reason::InvalidNumber, 404),
            (Reason::NoRoute, 404),
            (Reason::NormalUnspecified, 480),
            (Reason::Congestion, 503),
            (Reason::TemporaryFailure, 503),
            (Reason::NotPermitted, 403),
            (Reason::IncompatibleMedia, 488),
            (Reason::TimerExpired, 504),
        ] {
            assert_eq!(reason.sip_status(), Some(status), "{reason}");
            assert_eq!(reason.q850().map(status_of_q850), Some(status), "{reason}");
        }
        assert_eq!(status_of_q850(99), 500);
        assert_eq!(q850_of_status(500), Some(41));
        assert_eq!(q850_of_status(487), None);
    }

    #[test]
    fn statuses_from_a_far_end() {
        for (status, reason) in [
            (302, Reason::Redirected),
            (404, Reason::InvalidNumber),
            (408, Reason::NoUserResponse),
            (480, Reason::NoAnswer),
            (486, Reason::Busy),
            (487, Reason::OriginatorCancel),
            (488, Reason::IncompatibleMedia),
            (503, Reason::TemporaryFailure),
            (603, Reason::Rejected),
            (699, Reason::Interworking),
        ] {
            assert_eq!(Reason::from_sip(status), reason, "{status}");
        }
    }
}
