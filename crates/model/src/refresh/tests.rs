//! The rules one by one, all transitions, and what holds for every interleaving of two holders.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::granted::{Granted, Terms};
use crate::id::Id;
use crate::secret::Secret;

const START: Timestamp = Timestamp::from_seconds(1_000_000);

pub(super) fn family() -> Family {
    let lifetimes = Lifetimes::default();
    Family {
        id: Id::from_bytes([7; 16]),
        granted: Granted {
            terms: Terms {
                realm: "a".parse().unwrap(),
                client_id: "client".parse().unwrap(),
                scope: "openid".parse().unwrap(),
                id_token: true,
                resources: Vec::new(),
                nonce: None,
            },
            user: Id::from_bytes([1; 16]),
            session: None,
            auth_time: START,
            may_refresh: true,
        },
        position: Position::default(),
        previous: None,
        rotated_at: START,
        created_at: START,
        idle_expires_at: START + lifetimes.refresh_idle,
        absolute_expires_at: START + lifetimes.refresh_absolute,
        revoked_at: None,
        secret: Secret::new([3; 16]),
    }
}

fn key() -> TokenKey {
    TokenKey::new(&Secret::new([5; 32]))
}

fn at(generation: u32, branch: u32) -> Position {
    Position { generation, branch }
}

/// Presents the token of a position as its client, and moves the family.
fn present(family: &mut Family, position: Position, now: Timestamp) -> Result<Advance, Refusal> {
    let lifetimes = Lifetimes::default();
    let token = UnverifiedToken::parse(family.token(&key(), position).expose()).unwrap();
    let presented = token.verify(&key(), family).unwrap();
    let decided = decide(
        family,
        &presented,
        &"client".parse().unwrap(),
        &lifetimes,
        now,
    );
    match decided {
        Ok(step) => *family = advance(family.clone(), &step, &lifetimes, now),
        Err(Refusal::Reused) => family.revoked_at = Some(now),
        Err(_) => {}
    }
    decided
}

fn later(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

// SEC-48
#[test]
fn the_current_token_rotates() {
    let mut family = family();
    let step = present(&mut family, at(0, 0), START).unwrap();
    assert_eq!((step.rule, step.to), (Rule::Rotate, at(1, 0)));
    assert_eq!(
        (family.position, family.previous),
        (at(1, 0), Some(at(0, 0)))
    );
}

// SEC-48
#[test]
fn the_previous_token_gives_the_same_successor_within_the_grace() {
    let mut family = family();
    present(&mut family, at(0, 0), START).unwrap();
    let before = family.clone();
    let step = present(&mut family, at(0, 0), later(119)).unwrap();
    assert_eq!((step.rule, step.to), (Rule::Repeat, at(1, 0)));
    assert_eq!(family, before);
}

// SEC-48
#[test]
fn after_the_grace_a_new_branch_replaces_the_lost_successor() {
    let mut family = family();
    present(&mut family, at(0, 0), START).unwrap();
    let step = present(&mut family, at(0, 0), later(120)).unwrap();
    assert_eq!((step.rule, step.to), (Rule::Branch, at(1, 1)));
    // The replaced one is dead, and whoever presents it ends the family.
    assert_eq!(
        present(&mut family, at(1, 0), later(121)),
        Err(Refusal::Reused)
    );
    assert_eq!(
        present(&mut family, at(1, 1), later(122)),
        Err(Refusal::Revoked)
    );
}

// SEC-48
#[test]
fn the_predecessor_of_a_branch_keeps_its_own_grace() {
    let mut family = family();
    present(&mut family, at(0, 0), START).unwrap();
    present(&mut family, at(0, 0), later(200)).unwrap();
    assert_eq!(
        present(&mut family, at(0, 0), later(300)).unwrap().to,
        at(1, 1)
    );
    assert_eq!(
        present(&mut family, at(1, 1), later(301)).unwrap().to,
        at(2, 0)
    );
    assert_eq!(
        present(&mut family, at(1, 1), later(302)).unwrap().to,
        at(2, 0)
    );
    assert_eq!(
        present(&mut family, at(1, 0), later(303)),
        Err(Refusal::Reused)
    );
}

// SEC-48
#[test]
fn a_token_before_the_previous_one_revokes() {
    let mut family = family();
    present(&mut family, at(0, 0), START).unwrap();
    present(&mut family, at(1, 0), later(1)).unwrap();
    assert_eq!(
        present(&mut family, at(0, 0), later(2)),
        Err(Refusal::Reused)
    );
    assert!(family.revoked_at.is_some());
}

// SEC-48
#[test]
fn a_token_ahead_proves_that_the_database_was_set_back() {
    for ahead in [at(1, 0), at(2, 0), at(0, 2), at(40, 3)] {
        let mut family = family();
        let step = present(&mut family, ahead, START).unwrap();
        let next = at(ahead.generation + 1, 0);
        assert_eq!(
            (step.rule, step.to, step.previous),
            (Rule::FastForward, next, ahead)
        );
        // Whoever lost that answer asks again.
        assert_eq!(present(&mut family, ahead, later(1)).unwrap().to, next);
    }
    let mut family = Family {
        position: at(4, 1),
        previous: Some(at(3, 0)),
        ..family()
    };
    assert_eq!(present(&mut family, at(4, 2), START).unwrap().to, at(5, 0));
    // What is behind was used before, and still ends it.
    assert_eq!(present(&mut family, at(4, 2), START).unwrap().to, at(5, 0));
    assert_eq!(present(&mut family, at(4, 1), START), Err(Refusal::Reused));
}

// SEC-49
#[test]
fn another_client_is_refused_and_nothing_is_said_of_the_family() {
    let revoked = Family {
        revoked_at: Some(START),
        ..family()
    };
    for family in [family(), revoked] {
        let token = UnverifiedToken::parse(family.token(&key(), at(5, 5)).expose()).unwrap();
        let presented = token.verify(&key(), &family).unwrap();
        let decided = decide(
            &family,
            &presented,
            &"other".parse().unwrap(),
            &Lifetimes::default(),
            START,
        );
        assert_eq!(decided, Err(Refusal::OtherClient));
    }
}

// SEC-45
#[test]
fn a_family_ends_by_idleness_and_by_age() {
    let lifetimes = Lifetimes::default();
    let mut family = family();
    assert_eq!(
        present(&mut family, at(0, 0), START + lifetimes.refresh_idle),
        Err(Refusal::Expired)
    );
    let mut now = START;
    for generation in 0.. {
        let next = now + Duration::from_hours(240);
        if next >= START + lifetimes.refresh_absolute {
            assert_eq!(
                present(&mut family, at(generation, 0), next),
                Err(Refusal::Expired)
            );
            break;
        }
        assert_eq!(
            present(&mut family, at(generation, 0), next).unwrap().rule,
            Rule::Rotate
        );
        now = next;
    }
}

/// Every event in every state.
#[test]
fn all_transitions() {
    let moved = Family {
        position: at(4, 1),
        previous: Some(at(3, 0)),
        rotated_at: later(1000),
        ..family()
    };
    let states = [
        ("new", family()),
        ("at 4.1 from 3.0", moved.clone()),
        (
            "revoked",
            Family {
                revoked_at: Some(START),
                ..moved.clone()
            },
        ),
        (
            "expired",
            Family {
                absolute_expires_at: START,
                ..moved
            },
        ),
    ];
    let mut table = Vec::new();
    for (name, state) in &states {
        for (when, now) in [
            ("within the grace", later(1010)),
            ("after the grace", later(5000)),
        ] {
            for position in [
                at(0, 0),
                at(0, 1),
                at(1, 0),
                at(2, 0),
                at(3, 0),
                at(3, 1),
                at(4, 0),
                at(4, 1),
                at(4, 2),
                at(4, 3),
                at(5, 0),
                at(6, 0),
            ] {
                let outcome = match present(&mut state.clone(), position, now) {
                    Ok(step) => format!(
                        "{:?} to {}.{}",
                        step.rule, step.to.generation, step.to.branch
                    ),
                    Err(refusal) => format!("{refusal:?}"),
                };
                table.push(format!(
                    "{name}, {when} | {}.{} -> {outcome}",
                    position.generation, position.branch
                ));
            }
        }
    }
    insta::assert_snapshot!(table.join("\n"));
}

/// Somebody who uses the newest token that reached them.
#[derive(Clone, Copy)]
struct Holder {
    token: Position,
}

impl Holder {
    fn refresh(
        &mut self,
        family: &mut Family,
        now: Timestamp,
        answer_arrives: bool,
    ) -> Result<Advance, Refusal> {
        let step = present(family, self.token, now)?;
        if answer_arrives {
            self.token = step.to;
        }
        Ok(step)
    }
}

const GRACE: u64 = 120;

proptest! {
    // SEC-48, property (a)
    #[test]
    fn one_holder_who_loses_any_answers_never_loses_the_session(
        steps in prop::collection::vec((1_u64..86_400, any::<bool>()), 1..80),
    ) {
        let mut family = family();
        let mut holder = Holder { token: at(0, 0) };
        let mut now = START;
        for (pause, answer_arrives) in steps {
            now = now + Duration::from_secs(pause);
            prop_assert!(holder.refresh(&mut family, now, answer_arrives).is_ok());
        }
    }

    // SEC-48: one application with several processes that share the stored token, refreshing at once.
    #[test]
    fn many_who_race_with_one_token_get_one_successor(
        rounds in prop::collection::vec(prop::collection::vec(0_u64..GRACE, 1..6), 1..20),
    ) {
        let mut family = family();
        let (mut token, mut now) = (at(0, 0), START);
        for delays in rounds {
            let mut delays = delays;
            delays.sort_unstable();
            // The grace begins with the first to arrive.
            let first = delays.first().copied().unwrap_or_default();
            let successors: Vec<Position> = delays
                .iter()
                .map(|delay| present(&mut family, token, now + Duration::from_secs(delay - first)).unwrap().to)
                .collect();
            prop_assert!(successors.windows(2).all(|pair| pair[0] == pair[1]), "{successors:?}");
            token = successors[0];
            now = now + Duration::from_mins(10);
        }
    }

    // SEC-48, property (b)
    #[test]
    fn two_holders_further_apart_than_the_grace_end_in_revocation_within_two_rotations(
        gaps in prop::collection::vec(GRACE + 1..10 * GRACE, 12),
        order in prop::collection::vec(any::<bool>(), 12),
        before in 0_u32..5,
    ) {
        let mut family = family();
        let mut now = START;
        let mut owner = Holder { token: at(0, 0) };
        for _ in 0..before {
            now = now + Duration::from_mins(10);
            owner.refresh(&mut family, now, true).unwrap();
        }
        let mut thief = owner;
        let (mut owner_steps, mut thief_steps) = (0, 0);
        for (gap, owner_next) in gaps.into_iter().zip(order) {
            now = now + Duration::from_secs(gap);
            let steps = if owner_next { &mut owner_steps } else { &mut thief_steps };
            let holder = if owner_next { &mut owner } else { &mut thief };
            // Once both took part, the next change of hands is the last.
            if holder.refresh(&mut family, now, true).is_err() {
                prop_assert!(family.revoked_at.is_some());
                prop_assert!(owner_steps.min(thief_steps) <= 1);
                return Ok(());
            }
            *steps += 1;
            prop_assert!(owner_steps.min(thief_steps) <= 1, "{owner_steps} and {thief_steps} refreshes");
        }
    }

    // SEC-48: a backup is restored while a client refreshes on.
    #[test]
    fn a_client_outlives_any_backup_of_its_family(
        // Not so long that a backup has gone idle.
        steps in prop::collection::vec((1_u64..20_000, any::<bool>(), 0_u8..8), 1..60),
    ) {
        let mut family = family();
        let mut holder = Holder { token: at(0, 0) };
        let mut backup = family.clone();
        let mut now = START;
        for (pause, answer_arrives, event) in steps {
            now = now + Duration::from_secs(pause);
            match event {
                0 => backup = family.clone(),
                1 => family = backup.clone(),
                _ => {}
            }
            prop_assert!(holder.refresh(&mut family, now, answer_arrives).is_ok());
        }
    }

    // SEC-48: after that, a thief with any token that was used before is found out as soon as ever.
    #[test]
    fn a_restored_backup_helps_no_thief(
        lost in 1_u32..20,
        stolen in 0_u32..20,
        order in prop::collection::vec(any::<bool>(), 12),
    ) {
        let mut family = family();
        let mut now = START;
        let mut owner = Holder { token: at(0, 0) };
        let backup = family.clone();
        let mut thief = owner;
        for number in 0..lost {
            now = now + Duration::from_mins(10);
            owner.refresh(&mut family, now, true).unwrap();
            if number < stolen {
                thief = owner;
            }
        }
        family = backup;
        let (mut last, mut changes) = (None, 0);
        for owner_next in order {
            now = now + Duration::from_mins(10);
            if last.is_some_and(|last| last != owner_next) {
                changes += 1;
            }
            last = Some(owner_next);
            let holder = if owner_next { &mut owner } else { &mut thief };
            if holder.refresh(&mut family, now, true).is_err() {
                prop_assert!(family.revoked_at.is_some());
                return Ok(());
            }
            prop_assert!(changes <= 2, "both go on after {changes} changes of hands");
        }
    }

    // SEC-48, property (c)
    #[test]
    fn there_is_never_more_than_one_live_chain(
        steps in prop::collection::vec((1_u64..3 * GRACE, 0_usize..2, any::<bool>()), 1..60),
    ) {
        let mut family = family();
        let mut holders = [Holder { token: at(0, 0) }; 2];
        let mut now = START;
        let mut handed_out = vec![at(0, 0)];
        for (pause, who, answer_arrives) in steps {
            now = now + Duration::from_secs(pause);
            let Ok(step) = holders[who].refresh(&mut family, now, answer_arrives) else { break };
            if !handed_out.contains(&step.to) {
                handed_out.push(step.to);
            }
            // Of all tokens ever handed out, only the newest moves the family on.
            let rotating = handed_out
                .iter()
                .filter(|token| matches!(present(&mut family.clone(), **token, now), Ok(Advance { rule: Rule::Rotate | Rule::FastForward, .. })))
                .count();
            prop_assert_eq!(rotating, 1);
        }
    }
}
