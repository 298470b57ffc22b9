//! Who is shut out.

use bus_schema::{Ban, Banned, Bans, Unban};

use super::{at, t};

pub(super) fn bans() -> Bans {
    let banned = Banned {
        source: t("192.0.2.66"),
        aor: Some(t("1001@example.test")),
        until: at(600_000),
        times: 1,
    };
    Bans {
        node: t("n1"),
        bans: vec![banned],
    }
}

pub(super) fn ban() -> Ban {
    Ban {
        source: t("192.0.2.66"),
        ban_ms: Some(3_600_000),
    }
}

pub(super) fn unban() -> Unban {
    Unban {
        source: t("192.0.2.66"),
    }
}
