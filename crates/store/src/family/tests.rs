//! Rotation and revocation on a real database, alone and in a race.

use futures_util::future::join_all;

use super::*;
use crate::testing::{self, sample};

const NOW: Timestamp = sample::NOW;

async fn stored(store: &Store, family: &Family) {
    store
        .backend()
        .write(family.clone(), |family, connection| {
            Box::pin(async move { insert(connection, family).await })
        })
        .await
        .unwrap();
}

/// Presents a token as the client it belongs to.
async fn present(store: &Store, token: &str, now: Timestamp) -> Result<Refreshed, Refusal> {
    let (family, presented) = by_token(store, token)
        .await
        .unwrap()
        .expect("a genuine token");
    rotate(
        store,
        &presented,
        &family.granted.terms.client_id,
        &Lifetimes::default(),
        now,
    )
    .await
    .unwrap()
    .refreshed()
}

fn first_token(store: &Store, family: &Family) -> String {
    family
        .token(store.refresh_key(), Position::default())
        .expose()
        .clone()
}

fn later(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_family_comes_back_as_it_was() {
    let store = testing::open().await;
    let family = Family {
        position: Position {
            generation: 7,
            branch: 2,
        },
        previous: Some(Position {
            generation: 6,
            branch: 1,
        }),
        revoked_at: Some(NOW),
        ..sample::family(1)
    };
    stored(&store, &family).await;
    stored(
        &store,
        &Family {
            granted: model::granted::Granted {
                session: None,
                ..sample::granted()
            },
            ..sample::family(2)
        },
    )
    .await;
    assert_eq!(load(&store, family.id).await.unwrap(), Some(family));
    assert_eq!(
        load(&store, sample::family(2).id)
            .await
            .unwrap()
            .unwrap()
            .granted
            .session,
        None
    );
}

// SEC-48
#[tokio::test]
async fn a_refresh_moves_the_family_and_the_old_token_repeats_within_the_grace() {
    let store = testing::open().await;
    let family = sample::family(1);
    stored(&store, &family).await;
    let first = present(&store, &first_token(&store, &family), later(10))
        .await
        .unwrap();
    assert_eq!(first.rule, Rule::Rotate);
    assert_eq!(
        first.family.idle_expires_at,
        later(10) + Lifetimes::default().refresh_idle
    );
    assert_eq!(
        load(&store, family.id).await.unwrap(),
        Some(first.family.clone())
    );
    let again = present(&store, &first_token(&store, &family), later(20))
        .await
        .unwrap();
    assert_eq!((again.rule, &again.token), (Rule::Repeat, &first.token));
    let second = present(&store, first.token.expose(), later(30))
        .await
        .unwrap();
    assert_eq!(second.rule, Rule::Rotate);
}

// SEC-48
#[tokio::test]
async fn a_lost_answer_is_made_good_after_the_grace() {
    let store = testing::open().await;
    let family = sample::family(1);
    stored(&store, &family).await;
    let lost = present(&store, &first_token(&store, &family), NOW)
        .await
        .unwrap();
    let branch = present(&store, &first_token(&store, &family), later(600))
        .await
        .unwrap();
    assert_eq!(branch.rule, Rule::Branch);
    assert_ne!(branch.token, lost.token);
    assert_eq!(
        present(&store, branch.token.expose(), later(700))
            .await
            .unwrap()
            .rule,
        Rule::Rotate
    );
}

// SEC-48, SEC-46
#[tokio::test]
async fn a_token_that_was_used_before_ends_the_family_and_its_access_tokens() {
    let store = testing::open().await;
    let family = sample::family(1);
    stored(&store, &family).await;
    let first = present(&store, &first_token(&store, &family), NOW)
        .await
        .unwrap();
    present(&store, first.token.expose(), later(1))
        .await
        .unwrap();
    let jti = model::claims::token_id(family.id, &[0; 16]);
    assert!(!store.revocations().is_revoked(&jti));
    assert_eq!(
        present(&store, &first_token(&store, &family), later(2))
            .await
            .unwrap_err(),
        Refusal::Reused
    );
    assert!(store.revocations().is_revoked(&jti));
    assert_eq!(
        present(&store, first.token.expose(), later(3))
            .await
            .unwrap_err(),
        Refusal::Revoked
    );
    assert_eq!(
        load(&store, family.id).await.unwrap().unwrap().revoked_at,
        Some(later(2))
    );
}

// SEC-49
#[tokio::test]
async fn another_client_changes_nothing() {
    let store = testing::open().await;
    let family = sample::family(1);
    stored(&store, &family).await;
    let (before, presented) = by_token(&store, &first_token(&store, &family))
        .await
        .unwrap()
        .unwrap();
    let outcome = rotate(
        &store,
        &presented,
        &"other".parse().unwrap(),
        &Lifetimes::default(),
        NOW,
    )
    .await
    .unwrap();
    assert_eq!(outcome.refreshed().unwrap_err(), Refusal::OtherClient);
    assert_eq!(load(&store, family.id).await.unwrap(), Some(before));
}

#[tokio::test]
async fn a_token_that_is_not_genuine_finds_nothing() {
    let store = testing::open().await;
    let family = sample::family(1);
    stored(&store, &family).await;
    let forged = Family {
        secret: Secret::new([9; 16]),
        ..family.clone()
    };
    assert!(
        by_token(&store, &first_token(&store, &forged))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        by_token(&store, &first_token(&store, &sample::family(2)))
            .await
            .unwrap()
            .is_none()
    );
    assert!(by_token(&store, "garbage").await.unwrap().is_none());
}

// SEC-48
#[tokio::test(flavor = "multi_thread")]
async fn fifty_who_race_with_one_token_get_one_successor() {
    let (here, there) = testing::open_twice().await;
    let family = sample::family(1);
    stored(&here, &family).await;
    let token = first_token(&here, &family);
    let mut nodes = [&here, &there].into_iter().cycle();
    let racers = (0..50).map(|_| present(nodes.next().unwrap(), &token, NOW));
    let outcomes: Vec<_> = join_all(racers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let successor = &outcomes.first().unwrap().token;
    assert!(outcomes.iter().all(|outcome| outcome.token == *successor));
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| outcome.rule == Rule::Rotate)
            .count(),
        1
    );
    assert_eq!(
        load(&there, family.id).await.unwrap().unwrap().position,
        Position {
            generation: 1,
            branch: 0
        }
    );
}

// SEC-48, SEC-46: two nodes, and answers that never arrive.
#[tokio::test]
async fn a_client_that_loses_answers_keeps_its_session_on_whichever_node() {
    let (here, there) = testing::open_twice().await;
    let family = sample::family(1);
    stored(&here, &family).await;
    let mut held = first_token(&here, &family);
    let mut now = NOW;
    for round in 0_u64..60 {
        now = now + Duration::from_secs(if round % 3 == 0 { 30 } else { 500 });
        let node = if round % 2 == 0 { &here } else { &there };
        let answer = present(node, &held, now).await.unwrap();
        // Two of five answers are lost.
        if round % 5 > 1 {
            held = answer.token.expose().clone();
        }
    }
    assert!(
        load(&there, family.id)
            .await
            .unwrap()
            .unwrap()
            .revoked_at
            .is_none()
    );
}

// SEC-48, SEC-46
#[tokio::test]
async fn two_holders_on_two_nodes_end_in_revocation() {
    let (here, there) = testing::open_twice().await;
    let family = sample::family(1);
    stored(&here, &family).await;
    let stolen = first_token(&here, &family);
    let owner = present(&here, &stolen, NOW).await.unwrap();
    let thief = present(&there, &stolen, later(200)).await.unwrap();
    assert_eq!(
        present(&here, owner.token.expose(), later(400))
            .await
            .unwrap_err(),
        Refusal::Reused
    );
    assert_eq!(
        present(&there, thief.token.expose(), later(600))
            .await
            .unwrap_err(),
        Refusal::Revoked
    );
}

// SEC-3, SEC-46
#[tokio::test]
async fn revoking_a_family_kills_its_access_tokens_even_the_second_time() {
    let store = testing::open().await;
    let family = sample::family(1);
    stored(&store, &family).await;
    let lifetimes = Lifetimes::default();
    assert!(revoke(&store, family.id, &lifetimes, NOW).await.unwrap());
    assert!(store.revocations().is_revoked(&family.id.to_string()));
    assert!(!revoke(&store, family.id, &lifetimes, NOW).await.unwrap());
    let unknown = sample::family(2).id;
    assert!(!revoke(&store, unknown, &lifetimes, NOW).await.unwrap());
    assert!(store.revocations().is_revoked(&unknown.to_string()));
}

// SEC-46
#[tokio::test]
async fn families_are_revoked_by_session_client_and_user() {
    let store = testing::open().await;
    let lifetimes = Lifetimes::default();
    let other_session = Id::from_bytes([8; 16]);
    let by_session = sample::family(1);
    let by_client = Family {
        granted: model::granted::Granted {
            session: Some(other_session),
            ..sample::granted()
        },
        ..sample::family(2)
    };
    let by_user = Family {
        granted: model::granted::Granted {
            terms: model::granted::Terms {
                client_id: "second".parse().unwrap(),
                ..by_client.granted.terms.clone()
            },
            ..by_client.granted.clone()
        },
        ..by_client.clone()
    };
    let by_user = Family {
        id: sample::family(3).id,
        ..by_user
    };
    let foreign = Family {
        granted: model::granted::Granted {
            user: Id::from_bytes([9; 16]),
            session: None,
            ..sample::granted()
        },
        ..sample::family(4)
    };
    for family in [&by_session, &by_client, &by_user, &foreign] {
        stored(&store, family).await;
    }
    let revoked = |family: &Family| store.revocations().is_revoked(&family.id.to_string());
    let revoke_each = async |which| {
        let until = forget_at(&lifetimes, NOW);
        let written = store
            .backend()
            .write((which, until), |(which, until), connection| {
                Box::pin(async move { revoke_within(connection, which, NOW, *until).await })
            });
        let entries = written.await.unwrap();
        let count = entries.len();
        store.revocations().add(entries);
        count
    };
    let session = by_session.granted.session.unwrap();
    assert_eq!(revoke_each(Which::Session(session)).await, 1);
    assert!(revoked(&by_session) && !revoked(&by_client));
    let client = Which::Client(
        by_client.granted.user,
        by_client.granted.terms.client_id.clone(),
    );
    assert_eq!(revoke_each(client).await, 1);
    assert!(revoked(&by_client) && !revoked(&by_user));
    assert_eq!(revoke_each(Which::User(by_user.granted.user)).await, 1);
    assert!(revoked(&by_user) && !revoked(&foreign));
}
