//! What comes next: rule by rule, and every event in every state.

use std::time::Duration;

use super::*;
use crate::granted::Terms;
use oauth::prompt::Prompt;

const START: Timestamp = Timestamp::from_seconds(1_000_000);

pub(super) fn interaction() -> Interaction {
    Interaction {
        id: Id::from_bytes([1; 16]),
        terms: Terms {
            realm: "mcp-demo".parse().unwrap(),
            client_id: "https://c.example/m.json".parse().unwrap(),
            scope: "openid profile email mcp:tools".parse().unwrap(),
            id_token: true,
            resources: vec!["https://gw.example/mcp".parse().unwrap()],
            nonce: None,
        },
        redirect_uri: "http://localhost:6274/oauth/callback".parse().unwrap(),
        state: None,
        challenge: None,
        prompt: Prompt::default(),
        max_age: None,
        login_hint: None,
        ui_locales: None,
        form_key: [2; 16],
        started_at: START,
        stage: Stage::Started,
    }
}

fn session(auth_time: Timestamp) -> Session {
    Session::begin(
        Id::from_bytes([4; 16]),
        "mcp-demo".parse().unwrap(),
        Id::from_bytes([5; 16]),
        auth_time,
    )
}

fn document() -> Option<TokenHash> {
    TokenHash::of("document").into()
}

fn step(interaction: &Interaction, session: Option<&Session>, consents: &[Consent]) -> Step {
    let facts = Facts {
        session,
        consents,
        document_hash: document(),
        skip_consent: false,
        anybody_can_pose: false,
    };
    next_step(
        interaction,
        &facts,
        &Lifetimes::default(),
        START + Duration::from_secs(5),
    )
}

fn agreed() -> Vec<Consent> {
    interaction()
        .ask(document())
        .agree(Id::from_bytes([5; 16]), START)
}

#[test]
fn without_a_session_the_user_logs_in() {
    assert_eq!(
        step(&interaction(), None, &agreed()),
        Step::Login(LoginReason::NoSession)
    );
}

// SEC-55
#[test]
fn a_session_that_is_over_or_of_another_realm_is_none() {
    let old = session(START - Lifetimes::default().session_idle);
    assert_eq!(
        step(&interaction(), Some(&old), &agreed()),
        Step::Login(LoginReason::NoSession)
    );
    let foreign = Session {
        realm: "other".parse().unwrap(),
        ..session(START)
    };
    assert_eq!(
        step(&interaction(), Some(&foreign), &agreed()),
        Step::Login(LoginReason::NoSession)
    );
}

// SEC-14
#[test]
fn a_session_is_no_consent() {
    assert_eq!(
        step(&interaction(), Some(&session(START)), &[]),
        Step::Consent(ConsentReason::Missing(Missing::Client))
    );
    assert_eq!(
        step(&interaction(), Some(&session(START)), &agreed()),
        Step::Done
    );
}

#[test]
fn prompt_none_never_shows_a_page() {
    let silent = Interaction {
        prompt: "none".parse().unwrap(),
        ..interaction()
    };
    assert_eq!(step(&silent, None, &[]), Step::LoginRequired);
    assert_eq!(
        step(&silent, Some(&session(START)), &[]),
        Step::ConsentRequired
    );
    assert_eq!(step(&silent, Some(&session(START)), &agreed()), Step::Done);
    let aged = Interaction {
        max_age: Some(1),
        ..silent
    };
    assert_eq!(
        step(
            &aged,
            Some(&session(START - Duration::from_mins(1))),
            &agreed()
        ),
        Step::LoginRequired
    );
}

#[test]
fn prompt_login_asks_once_even_within_a_session() {
    let eager = Interaction {
        prompt: "login".parse().unwrap(),
        ..interaction()
    };
    let before = session(START - Duration::from_mins(1));
    assert_eq!(
        step(&eager, Some(&before), &agreed()),
        Step::Login(LoginReason::Prompt)
    );
    let now = session(START + Duration::from_secs(1));
    let after = eager.after(Event::LoggedIn(now.id));
    assert_eq!(step(&after, Some(&now), &agreed()), Step::Done);
    // Another session than the one that began here does not count.
    let other = Session {
        id: Id::from_bytes([6; 16]),
        ..now
    };
    assert_eq!(
        step(&after, Some(&other), &agreed()),
        Step::Login(LoginReason::Prompt)
    );
}

#[test]
fn max_age_limits_the_age_of_the_login() {
    let at_age = |max_age, age: u64| {
        let interaction = Interaction {
            max_age: Some(max_age),
            ..interaction()
        };
        step(
            &interaction,
            Some(&session(
                START + Duration::from_secs(5) - Duration::from_secs(age),
            )),
            &agreed(),
        )
    };
    assert_eq!(at_age(60, 60), Step::Done);
    assert_eq!(at_age(60, 61), Step::Login(LoginReason::TooLongAgo));
    assert_eq!(at_age(0, 0), Step::Login(LoginReason::TooLongAgo));
}

#[test]
fn prompt_consent_asks_once_even_if_it_was_given() {
    let eager = Interaction {
        prompt: "consent".parse().unwrap(),
        ..interaction()
    };
    let session = session(START);
    assert_eq!(
        step(&eager, Some(&session), &agreed()),
        Step::Consent(ConsentReason::Prompt)
    );
    let after = eager.after(Event::Consented(session.id, document()));
    assert_eq!(step(&after, Some(&session), &[]), Step::Done);
}

// SEC-19
#[test]
fn consent_to_another_state_of_the_document_does_not_count() {
    let session = session(START);
    let after = interaction().after(Event::Consented(session.id, Some(TokenHash::of("before"))));
    assert_eq!(
        step(&after, Some(&session), &[]),
        Step::Consent(ConsentReason::Missing(Missing::Client))
    );
}

// SEC-14
#[test]
fn consent_in_another_session_does_not_count() {
    let session = session(START);
    let after = interaction().after(Event::Consented(Id::from_bytes([9; 16]), document()));
    assert_eq!(
        step(&after, Some(&session), &[]),
        Step::Consent(ConsentReason::Missing(Missing::Client))
    );
}

#[test]
fn an_operators_own_client_need_not_ask() {
    let session = session(START);
    let facts = Facts {
        session: Some(&session),
        consents: &[],
        document_hash: None,
        skip_consent: true,
        anybody_can_pose: true,
    };
    let now = START + Duration::from_secs(5);
    assert_eq!(
        next_step(&interaction(), &facts, &Lifetimes::default(), now),
        Step::Done
    );
    let eager = Interaction {
        prompt: "consent".parse().unwrap(),
        ..interaction()
    };
    assert_eq!(
        next_step(&eager, &facts, &Lifetimes::default(), now),
        Step::Consent(ConsentReason::Prompt)
    );
}

// SEC-88, RFC 8252 §8.6
#[test]
fn a_client_that_anybody_can_pose_as_is_asked_about_each_time() {
    let session = session(START);
    let now = START + Duration::from_secs(5);
    let consents = agreed();
    let facts = Facts {
        session: Some(&session),
        consents: &consents,
        document_hash: document(),
        skip_consent: false,
        anybody_can_pose: true,
    };
    let next =
        |interaction: &Interaction| next_step(interaction, &facts, &Lifetimes::default(), now);
    assert_eq!(next(&interaction()), Step::Consent(ConsentReason::Unproven));
    let silent = Interaction {
        prompt: "none".parse().unwrap(),
        ..interaction()
    };
    assert_eq!(next(&silent), Step::ConsentRequired);
    let after_login = interaction().after(Event::LoggedIn(session.id));
    assert_eq!(next(&after_login), Step::Consent(ConsentReason::Unproven));
    let agreed_now = after_login.after(Event::Consented(session.id, document()));
    assert_eq!(next(&agreed_now), Step::Done);
}

#[test]
fn an_interaction_ends() {
    let session = session(START);
    let facts = Facts {
        session: Some(&session),
        consents: &agreed(),
        document_hash: document(),
        skip_consent: false,
        anybody_can_pose: false,
    };
    let lifetimes = Lifetimes {
        session_idle: Duration::from_hours(24),
        ..Lifetimes::default()
    };
    assert_eq!(
        next_step(
            &interaction(),
            &facts,
            &lifetimes,
            START + Duration::from_secs(1799)
        ),
        Step::Done
    );
    assert_eq!(
        next_step(
            &interaction(),
            &facts,
            &lifetimes,
            START + Duration::from_mins(30)
        ),
        Step::Expired
    );
}

/// Every event in every state, and what comes next, for a client that insists on both pages.
#[test]
fn all_transitions() {
    let session = session(START);
    let other = Id::from_bytes([6; 16]);
    let stages = [
        Stage::Started,
        Stage::LoggedIn {
            session: session.id,
        },
        Stage::LoggedIn { session: other },
        Stage::Consented {
            session: session.id,
            document_hash: document(),
        },
        Stage::Consented {
            session: session.id,
            document_hash: None,
        },
        Stage::Consented {
            session: other,
            document_hash: document(),
        },
    ];
    let events = [
        Event::LoggedIn(session.id),
        Event::LoggedIn(other),
        Event::Consented(session.id, document()),
        Event::Consented(other, document()),
    ];
    let mut table = Vec::new();
    for stage in stages {
        let before = Interaction {
            stage,
            prompt: "login consent".parse().unwrap(),
            ..interaction()
        };
        table.push(format!(
            "{stage:?}: {:?}",
            step(&before, Some(&session), &agreed())
        ));
        for event in events {
            let after = before.clone().after(event);
            table.push(format!(
                "    {event:?} -> {:?}: {:?}",
                after.stage,
                step(&after, Some(&session), &agreed())
            ));
        }
    }
    insta::assert_snapshot!(table.join("\n"));
}
