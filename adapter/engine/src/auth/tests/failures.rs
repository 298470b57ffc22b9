//! Whom a wrong password is held against.

use super::*;

#[test]
fn a_failure_is_held_against_the_address_that_was_challenged() {
    let mut world = World::new();
    let from =
        |message: Message, ip: &str| message.with_source(format!("{ip}:5060").parse().unwrap());
    let own = |world: &mut World, request: Message| {
        let again = challenge(world.ask(&request));
        again
            .failure
            .map(|failed| (failed.own, failed.user.to_string()))
    };
    let user = "md5@x.test".to_owned();
    let asked = challenge(world.ask(&from(INVITE.request(None), "192.0.2.1")));
    let mut wrong = client(&asked, "md5", "guess");
    let honest = from(INVITE.answered(&mut wrong), "192.0.2.1");
    assert_eq!(own(&mut world, honest), Some((true, user.clone())));
    // The same nonce under an address that it was not given to.
    let forged = from(INVITE.answered(&mut wrong), "192.0.2.2");
    assert_eq!(own(&mut world, forged), Some((false, user.clone())));
    // A nonce of nobody's.
    let value = wrong.authorize("INVITE", INVITE.uri, b"", 5);
    let text = String::from_utf8(value)
        .unwrap()
        .replace("nonce=\"", "nonce=\"x");
    let made_up = from(INVITE.request(Some(text.as_bytes())), "192.0.2.1");
    assert_eq!(own(&mut world, made_up), Some((false, user)));
    // The right password is right from everywhere: addresses change.
    let mut right = client(&asked, "md5", "secret");
    let moved = from(INVITE.answered(&mut right), "192.0.2.3");
    allowed(world.ask(&moved));
}
