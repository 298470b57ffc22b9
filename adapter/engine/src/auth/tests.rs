mod failures;

use bytes::Bytes;
use sip::Limits;
use sip::digest::{Algorithm, Client, Ha1, Secret};

use super::*;
use crate::seed::Seed;

const LIFE: Duration = Duration::from_secs(300);

fn settings() -> AuthSettings {
    AuthSettings {
        secret: NonceSecret([9; 16]),
        marks: Seed(9),
        nonce_life: LIFE,
        nonces_max: 100,
    }
}

fn domains() -> Domains {
    let domain = |name: &str, register, callers| Domain {
        name: name.into(),
        register,
        callers,
    };
    let list = vec![
        domain("x.test", Demand::Digest, Demand::Digest),
        domain("open.test", Demand::Open, Demand::Open),
        domain("public.test", Demand::Digest, Demand::Open),
    ];
    Domains::new(list, ["127.0.0.1"], Seed(1))
}

fn users() -> Users {
    let mut users = Users::new(4, Seed(2));
    for (user, domain, algorithms) in [
        ("md5", "x.test", &[Algorithm::Md5][..]),
        ("both", "x.test", &[Algorithm::Md5, Algorithm::Sha256]),
        ("sha", "x.test", &[Algorithm::Sha512_256]),
        ("a b", "x.test", &[Algorithm::Md5]),
        ("md5", "public.test", &[Algorithm::Md5]),
    ] {
        let aor = address::aor(&user.replace(' ', "%20"), domain);
        for &algorithm in algorithms {
            users.add(&aor, Ha1::from_password(algorithm, user, domain, "secret"));
        }
    }
    users
}

fn why(challenge: &Challenge) -> Option<Refusal> {
    challenge.failure.as_ref().map(|failed| failed.why)
}

struct World {
    domains: Domains,
    users: Users,
    authenticator: Authenticator,
    seconds: u64,
    random: u64,
}

impl World {
    fn new() -> Self {
        let authenticator = Authenticator::new(settings());
        Self {
            domains: domains(),
            users: users(),
            authenticator,
            seconds: 1000,
            random: 0,
        }
    }

    fn ask(&mut self, request: &Message) -> Outcome {
        let now = Now::default().after(Duration::from_secs(self.seconds));
        self.random += 1 << 20;
        let directory = Directory {
            domains: &self.domains,
            users: &self.users,
        };
        let authenticator = &mut self.authenticator;
        if request.method() == Some(Method::Register) {
            authenticator.register(now, self.random, directory, request)
        } else {
            authenticator.call(now, self.random, directory, request, false)
        }
    }

    /// Challenges a request and gives the client that can answer.
    fn client(&mut self, who: &Who<'_>, user: &str, password: &str) -> Client {
        let challenge = challenge(self.ask(&who.request(None)));
        client(&challenge, user, password)
    }
}

fn client(challenge: &Challenge, user: &str, password: &str) -> Client {
    let values = challenge.values.iter().map(String::as_bytes);
    Client::new(values, user, &Secret::Password(password.into())).unwrap()
}

fn challenge(outcome: Outcome) -> Challenge {
    match outcome {
        Outcome::Challenge(challenge) => challenge,
        other => panic!("{other:?}"),
    }
}

fn allowed(outcome: Outcome) -> Caller {
    match outcome {
        Outcome::Allowed(caller) => caller,
        other => panic!("{other:?}"),
    }
}

/// A request by its method, From (To of a REGISTER) and Request-URI.
#[derive(Clone, Copy)]
struct Who<'a> {
    method: &'a str,
    from: &'a str,
    uri: &'a str,
}

const REGISTER: Who<'_> = Who {
    method: "REGISTER",
    from: "sip:md5@x.test",
    uri: "sip:x.test",
};
const INVITE: Who<'_> = Who {
    method: "INVITE",
    from: "sip:md5@x.test",
    uri: "sip:b@x.test",
};

impl Who<'_> {
    fn request(&self, credentials: Option<&[u8]>) -> Message {
        let Self { method, from, uri } = self;
        let to = if *method == "REGISTER" { from } else { uri };
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
             From: <{from}>;tag=1\r\nTo: <{to}>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n"
        )
        .into_bytes();
        if let Some(credentials) = credentials {
            let name = if *method == "REGISTER" {
                "Authorization: "
            } else {
                "Proxy-Authorization: "
            };
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(credentials);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        Message::parse_datagram(Bytes::from(text), &Limits::default()).unwrap()
    }

    fn answered(&self, client: &mut Client) -> Message {
        self.request(Some(&client.authorize(self.method, self.uri, b"", 5)))
    }
}

#[test]
fn the_right_password_opens_with_every_algorithm() {
    for (user, algorithms) in [
        ("md5", &["MD5"][..]),
        ("both", &["SHA-256", "MD5"]),
        ("sha", &["SHA-512-256"]),
    ] {
        let from = format!("sip:{user}@x.test");
        for who in [
            Who {
                from: &from,
                ..REGISTER
            },
            Who {
                from: &from,
                ..INVITE
            },
        ] {
            let mut world = World::new();
            let asked = challenge(world.ask(&who.request(None)));
            assert_eq!(
                asked.status,
                if who.method == "REGISTER" { 401 } else { 407 }
            );
            assert_eq!((asked.values.len(), why(&asked)), (algorithms.len(), None));
            for (value, algorithm) in asked.values.iter().zip(algorithms) {
                assert!(
                    value.contains(&format!("algorithm={algorithm},")),
                    "{value}"
                );
                assert!(
                    value.contains("realm=\"x.test\"") && !value.contains("stale"),
                    "{value}"
                );
            }
            let mut client = client(&asked, user, "secret");
            let caller = allowed(world.ask(&who.answered(&mut client)));
            assert_eq!(caller, Caller::User(address::aor(user, "x.test")));
            assert!(caller.is_proven());
        }
    }
}

#[test]
fn each_user_is_spelled_in_many_ways() {
    for from in [
        "sip:%6dd5@x.test",
        "sip:md5@X.TEST",
        "sips:md5@x.test",
        "sip:md5@127.0.0.1:5060",
    ] {
        let mut world = World::new();
        let who = Who { from, ..REGISTER };
        let mut client = world.client(&who, "md5", "secret");
        assert_eq!(
            allowed(world.ask(&who.answered(&mut client)))
                .aor()
                .unwrap()
                .as_ref(),
            "md5@x.test"
        );
    }
}

#[test]
fn a_count_is_good_once_and_later_ones_are_good_too() {
    let mut world = World::new();
    let mut client = world.client(&INVITE, "md5", "secret");
    let first = INVITE.answered(&mut client);
    allowed(world.ask(&first));
    let again = challenge(world.ask(&first));
    assert!(again.values[0].contains("stale=true") && again.failure.is_none());
    allowed(world.ask(&INVITE.answered(&mut client)));
    assert_eq!(world.authenticator.nonces(), 1);
}

#[test]
fn an_old_nonce_is_stale() {
    let mut world = World::new();
    let mut client = world.client(&INVITE, "md5", "secret");
    world.seconds += LIFE.as_secs() + 1;
    let again = challenge(world.ask(&INVITE.answered(&mut client)));
    assert!(again.values[0].contains("stale=true"));
    let mut client = super::tests::client(&again, "md5", "secret");
    allowed(world.ask(&INVITE.answered(&mut client)));
}

#[test]
fn a_nonce_of_another_authenticator_is_stale() {
    let mut world = World::new();
    let mut client = world.client(&INVITE, "md5", "secret");
    let secret = NonceSecret([8; 16]);
    world.authenticator = Authenticator::new(AuthSettings {
        secret,
        ..settings()
    });
    assert!(challenge(world.ask(&INVITE.answered(&mut client))).values[0].contains("stale=true"));
}

#[test]
fn nonces_are_remembered_up_to_the_limit() {
    let mut world = World::new();
    for _ in 0..250 {
        world.seconds += 1;
        let mut client = world.client(&INVITE, "md5", "secret");
        allowed(world.ask(&INVITE.answered(&mut client)));
    }
    assert_eq!(world.authenticator.nonces(), 100);
}

#[test]
fn what_is_wrong_is_challenged_again() {
    let mut world = World::new();
    let mut wrong = world.client(&INVITE, "md5", "guess");
    let again = challenge(world.ask(&INVITE.answered(&mut wrong)));
    assert_eq!(
        (why(&again), again.values[0].contains("stale")),
        (Some(Refusal::Response), false)
    );

    // Credentials for another realm are not for us to judge.
    let mut other = world.client(&INVITE, "md5", "secret");
    let text = String::from_utf8(other.authorize("INVITE", INVITE.uri, b"", 5)).unwrap();
    let text = text.replace("realm=\"x.test\"", "realm=\"y.test\"");
    let again = challenge(world.ask(&INVITE.request(Some(text.as_bytes()))));
    assert_eq!(why(&again), None);

    // Made for another method.
    let mut client = world.client(&INVITE, "md5", "secret");
    let value = client.authorize("MESSAGE", INVITE.uri, b"", 5);
    let again = challenge(world.ask(&INVITE.request(Some(&value))));
    assert_eq!(why(&again), Some(Refusal::Response));

    // An algorithm the user has no secret for.
    let text = String::from_utf8(client.authorize("INVITE", INVITE.uri, b"", 5)).unwrap();
    let text = text.replace("algorithm=MD5", "algorithm=SHA-256");
    let again = challenge(world.ask(&INVITE.request(Some(text.as_bytes()))));
    assert_eq!(why(&again), Some(Refusal::Algorithm));
    assert_eq!(
        challenge(world.ask(&INVITE.request(Some(b"Digest nonsense")))).status,
        407
    );
}

/// What is random in a challenge taken out.
fn shape(challenge: &Challenge) -> Vec<String> {
    let shape = |value: &String| {
        let (head, nonce) = value.split_once("nonce=\"").unwrap();
        let (nonce, tail) = nonce.split_once('"').unwrap();
        format!("{head}{}{tail}", nonce.len())
    };
    challenge.values.iter().map(shape).collect()
}

#[test]
fn nobody_learns_who_exists() {
    let mut world = World::new();
    // All of one make, as after a migration: any difference would tell.
    world.users = Users::new(2, Seed(3));
    world.users.add(
        "md5@x.test",
        Ha1::from_password(Algorithm::Md5, "md5", "x.test", "secret"),
    );
    for method in [REGISTER, INVITE] {
        let known = method;
        let unknown = Who {
            from: "sip:ghost@x.test",
            ..method
        };
        let asked = challenge(world.ask(&known.request(None)));
        let ghost = challenge(world.ask(&unknown.request(None)));
        assert_eq!((asked.status, shape(&asked)), (ghost.status, shape(&ghost)));
        let mut wrong = client(&asked, "md5", "guess");
        let mut nobody = client(&ghost, "ghost", "guess");
        let wrong = challenge(world.ask(&known.answered(&mut wrong)));
        let nobody = challenge(world.ask(&unknown.answered(&mut nobody)));
        assert_eq!(
            (wrong.status, shape(&wrong)),
            (nobody.status, shape(&nobody))
        );
        assert_eq!(
            (why(&wrong), why(&nobody)),
            (Some(Refusal::Response), Some(Refusal::Response))
        );
    }
}

#[test]
fn nobody_speaks_in_anothers_name() {
    for (who, user) in [
        (
            Who {
                from: "sip:both@x.test",
                ..REGISTER
            },
            "md5",
        ),
        (
            Who {
                from: "sip:ghost@x.test",
                ..REGISTER
            },
            "md5",
        ),
        (
            Who {
                from: "sip:both@x.test",
                ..INVITE
            },
            "md5",
        ),
        (
            Who {
                from: "sip:x.test",
                ..INVITE
            },
            "md5",
        ),
        (
            Who {
                from: "sip:md5@else.example",
                ..INVITE
            },
            "md5",
        ),
        (
            Who {
                from: "tel:+4912345",
                ..INVITE
            },
            "md5",
        ),
    ] {
        let mut world = World::new();
        let mut client = world.client(&who, user, "secret");
        // The client may have been challenged for somebody else's algorithm first.
        let mut outcome = world.ask(&who.answered(&mut client));
        if let Outcome::Challenge(again) = &outcome {
            let mut client = super::tests::client(again, user, "secret");
            outcome = world.ask(&who.answered(&mut client));
        }
        match outcome {
            Outcome::Refused { status, proven, .. } => {
                assert_eq!(
                    (status, proven.as_deref()),
                    (403, Some("md5@x.test")),
                    "{}",
                    who.from
                );
            }
            other => panic!("{}: {other:?}", who.from),
        }
    }
}

#[test]
fn a_proven_caller_may_hide() {
    let mut world = World::new();
    let who = Who {
        from: "sip:anonymous@anonymous.invalid",
        ..INVITE
    };
    let first = challenge(world.ask(&who.request(None)));
    assert_eq!(first.status, 407);
    let mut client = client(&first, "md5", "secret");
    let mut outcome = world.ask(&who.answered(&mut client));
    if let Outcome::Challenge(again) = &outcome {
        let mut client = super::tests::client(again, "md5", "secret");
        outcome = world.ask(&who.answered(&mut client));
    }
    assert_eq!(allowed(outcome), Caller::User("md5@x.test".into()));
}

#[test]
fn domains_decide_who_need_not_prove_anything() {
    let claimed = |aor: &str| Caller::Claimed(aor.into());
    for (who, caller) in [
        (
            Who {
                from: "sip:any@open.test",
                uri: "sip:open.test",
                ..REGISTER
            },
            claimed("any@open.test"),
        ),
        (
            Who {
                from: "sip:any@open.test",
                ..INVITE
            },
            claimed("any@open.test"),
        ),
        (
            Who {
                from: "sip:md5@public.test",
                ..INVITE
            },
            claimed("md5@public.test"),
        ),
        (
            Who {
                from: "sip:open.test",
                ..INVITE
            },
            Caller::Foreign,
        ),
        (
            Who {
                from: "sip:a@else.example",
                uri: "sip:b@open.test",
                ..INVITE
            },
            Caller::Foreign,
        ),
    ] {
        assert_eq!(
            allowed(World::new().ask(&who.request(None))),
            caller,
            "{}",
            who.from
        );
    }
    let who = Who {
        from: "sip:md5@public.test",
        uri: "sip:public.test",
        ..REGISTER
    };
    assert_eq!(challenge(World::new().ask(&who.request(None))).status, 401);
    // A user of a digest domain must prove it even to call an open one.
    let who = Who {
        uri: "sip:b@open.test",
        ..INVITE
    };
    assert_eq!(challenge(World::new().ask(&who.request(None))).status, 407);
}

#[test]
fn what_is_not_for_us_is_refused() {
    for (who, status) in [
        (
            Who {
                from: "sip:a@else.example",
                ..REGISTER
            },
            404,
        ),
        (
            Who {
                uri: "sip:else.example",
                ..REGISTER
            },
            404,
        ),
        (
            Who {
                from: "sip:x.test",
                ..REGISTER
            },
            404,
        ),
        (
            Who {
                from: "tel:+49123",
                ..REGISTER
            },
            404,
        ),
        (
            Who {
                from: "sip:a@else.example",
                uri: "sip:b@else.example",
                ..INVITE
            },
            403,
        ),
    ] {
        match World::new().ask(&who.request(None)) {
            Outcome::Refused {
                status: given,
                proven: None,
                ..
            } => assert_eq!(given, status),
            other => panic!("{} {}: {other:?}", who.from, who.uri),
        }
    }
}

#[test]
fn a_trusted_peer_is_not_asked() {
    let mut world = World::new();
    let directory = Directory {
        domains: &world.domains,
        users: &world.users,
    };
    let outcome =
        world
            .authenticator
            .call(Now::default(), 1, directory, &INVITE.request(None), true);
    assert_eq!(allowed(outcome), Caller::Trusted);
}

#[test]
fn a_challenge_is_written_under_the_name_of_its_status() {
    for (who, name) in [
        (REGISTER, Name::WwwAuthenticate),
        (INVITE, Name::ProxyAuthenticate),
    ] {
        let mut world = World::new();
        let who = Who {
            from: "sip:both@x.test",
            ..who
        };
        let asked = challenge(world.ask(&who.request(None)));
        let mut out = sip::reply(&who.request(None), asked.status, asked.reason(), Some("us"));
        asked.write(&mut out);
        let response = Message::parse_datagram(out.end(), &Limits::default()).unwrap();
        assert_eq!(response.all(name).count(), 2);
        assert!(
            response
                .all(name)
                .next()
                .unwrap()
                .starts_with(b"Digest realm=\"x.test\", ")
        );
    }
}
