//! Agreements and what became of them, also of those that race with their end.

use futures_util::future::join;
use model::consent::Ask;
use model::registration::{FIRST_USE, KEEP, Registered};
use model::secret::TokenHash;

use super::*;
use crate::grant::Issued;
use crate::registration::Bounds;
use crate::testing::{self, sample};
use crate::{cleanup, grant, user};

fn consent(resource: Option<&str>, scope: &str, document: Option<&str>) -> Consent {
    Consent {
        user: Id::from_bytes([1; 16]),
        client_id: "https://c.example/m.json".parse().unwrap(),
        redirect_origin: "http://localhost".to_owned(),
        resource: resource.map(|uri| uri.parse().unwrap()),
        scope: scope.parse().unwrap(),
        document_hash: document.map(TokenHash::of),
        granted_at: Timestamp::from_seconds(1000),
    }
}

async fn stored(store: &Store) -> Vec<Consent> {
    list(
        store,
        Id::from_bytes([1; 16]),
        &"https://c.example/m.json".parse().unwrap(),
    )
    .await
    .unwrap()
}

// SEC-14
#[tokio::test]
async fn an_agreement_comes_back_for_its_user_and_client_only() {
    let store = testing::open().await;
    let (with, without) = (
        consent(Some("https://gw.example/mcp"), "a b", Some("d")),
        consent(None, "a", None),
    );
    save(&store, &[with.clone(), without.clone()])
        .await
        .unwrap();
    let mut found = stored(&store).await;
    found.sort_by_key(|consent| consent.resource.is_none());
    assert_eq!(found, [with.clone(), without]);
    assert!(
        list(&store, Id::from_bytes([2; 16]), &with.client_id)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        list(&store, with.user, &"other".parse().unwrap())
            .await
            .unwrap()
            .is_empty()
    );
}

// SEC-19
#[tokio::test]
async fn scopes_add_up_under_one_document_and_start_anew_under_another() {
    let store = testing::open().await;
    for (scope, document, expected) in
        [("a b", "d1", "a b"), ("c", "d1", "a b c"), ("c", "d2", "c")]
    {
        save(
            &store,
            &[consent(
                Some("https://gw.example/mcp"),
                scope,
                Some(document),
            )],
        )
        .await
        .unwrap();
        let [only] = stored(&store).await.try_into().unwrap();
        assert_eq!(only.scope, expected.parse().unwrap());
    }
}

// AS-30
#[tokio::test]
async fn spellings_of_one_resource_are_one_agreement() {
    let store = testing::open().await;
    save(
        &store,
        &[consent(Some("https://gw.example/mcp"), "a", None)],
    )
    .await
    .unwrap();
    save(
        &store,
        &[consent(Some("HTTPS://GW.example:443/mcp/"), "b", None)],
    )
    .await
    .unwrap();
    assert_eq!(stored(&store).await.len(), 1);
}

// SEC-18
#[tokio::test]
async fn a_client_is_known_from_the_first_agreement_on() {
    let store = testing::open().await;
    let consent = consent(None, "a", None);
    assert!(!knows_client(&store, &consent.client_id).await.unwrap());
    save(&store, std::slice::from_ref(&consent)).await.unwrap();
    assert!(knows_client(&store, &consent.client_id).await.unwrap());
    let lifetimes = Lifetimes::default();
    revoke(
        &store,
        consent.user,
        &consent.client_id,
        &lifetimes,
        consent.granted_at,
    )
    .await
    .unwrap();
    assert!(!knows_client(&store, &consent.client_id).await.unwrap());
}

// SEC-46
#[tokio::test]
async fn a_consent_that_is_revoked_takes_tokens_and_codes_of_that_client_with_it() {
    let store = testing::open().await;
    let alice = User::new(
        Id::from_bytes([1; 16]),
        "demo".parse().unwrap(),
        "alice".parse().unwrap(),
        sample::NOW,
    );
    user::insert(&store, &alice).await.unwrap();
    let mine = Consent {
        client_id: sample::granted().terms.client_id,
        ..consent(None, "a", None)
    };
    let other = Consent {
        client_id: "other".parse().unwrap(),
        ..mine.clone()
    };
    save(&store, &[mine.clone(), other.clone()]).await.unwrap();
    let granted = model::grant::Grant {
        granted: model::granted::Granted {
            user: alice.id,
            ..sample::granted()
        },
        ..sample::grant()
    };
    for code in ["redeemed", "unused"] {
        grant::insert(&store, TokenHash::of(code), &granted)
            .await
            .unwrap();
    }
    let family = model::refresh::Family {
        granted: model::granted::Granted {
            terms: model::granted::Terms {
                client_id: mine.client_id.clone(),
                ..sample::granted().terms
            },
            user: alice.id,
            ..sample::granted()
        },
        ..sample::family(1)
    };
    grant::redeem(&store, TokenHash::of("redeemed"), &family, sample::NOW)
        .await
        .unwrap();
    let lifetimes = Lifetimes::default();
    let revoked = revoke(&store, alice.id, &mine.client_id, &lifetimes, sample::NOW)
        .await
        .unwrap();
    let expected = Revoked {
        consents: 1,
        grants: 1,
    };
    assert_eq!(revoked, expected);
    let id = family.id.to_string();
    assert!(store.revocations().is_revoked(&id));
    let unused = grant::load(&store, TokenHash::of("unused")).await.unwrap();
    assert_eq!(unused, None);
    let left = of_realm(&store, &alice.realm, None).await.unwrap();
    let expected = Listed {
        consent: other,
        username: alice.username.clone(),
    };
    assert_eq!(left, [expected]);
    let elsewhere = of_realm(&store, &"other".parse().unwrap(), None).await;
    assert_eq!(elsewhere.unwrap(), []);
}

/// A page that alice is answering: her session, what she was asked, and what she grants.
struct Page {
    basis: Basis,
    ask: Ask,
    grant: model::grant::Grant,
}

impl Page {
    async fn open(store: &Store, client_id: ClientId, registered: bool) -> Self {
        let granted = sample::grant();
        let begun = Session::begin(
            Id::from_bytes([7; 16]),
            granted.granted.terms.realm.clone(),
            granted.granted.user,
            sample::NOW,
        );
        let later = sample::NOW + KEEP;
        session::insert(store, TokenHash::of("cookie"), &begun, later)
            .await
            .unwrap();
        let ask = Ask {
            client_id: client_id.clone(),
            redirect_origin: "http://localhost".to_owned(),
            resources: Vec::new(),
            scope: "a".parse().unwrap(),
            document_hash: None,
        };
        let basis = Basis {
            session: begun.id,
            registered: registered.then(|| client_id.clone()),
        };
        let grant = model::grant::Grant {
            granted: model::granted::Granted {
                terms: model::granted::Terms {
                    client_id,
                    ..granted.granted.terms.clone()
                },
                session: Some(begun.id),
                ..granted.granted.clone()
            },
            ..granted
        };
        Self { basis, ask, grant }
    }

    async fn agree(&self, store: &Store) -> Agreed {
        let agreed = self.ask.agree(self.grant.granted.user, sample::NOW);
        agree(store, &agreed, &self.basis, sample::NOW)
            .await
            .unwrap()
    }

    async fn issue(&self, store: &Store, code: &str) -> Issued {
        let hash = TokenHash::of(code);
        let issued = grant::issue(store, hash, &self.grant, Some(&self.ask)).await;
        issued.unwrap()
    }

    async fn revoke(&self, store: &Store) {
        let (user, client_id) = (self.grant.granted.user, &self.grant.granted.terms.client_id);
        let lifetimes = Lifetimes::default();
        revoke(store, user, client_id, &lifetimes, sample::NOW)
            .await
            .unwrap();
    }

    async fn left(&self, store: &Store) -> Vec<Consent> {
        list(
            store,
            self.grant.granted.user,
            &self.grant.granted.terms.client_id,
        )
        .await
        .unwrap()
    }
}

async fn is_there(store: &Store, code: &str) -> bool {
    let found = grant::load(store, TokenHash::of(code)).await;
    found.unwrap().is_some()
}

// SEC-14, SEC-46
#[tokio::test]
async fn no_code_is_issued_for_what_was_taken_back_while_the_page_was_answered() {
    let store = testing::open().await;
    let page = Page::open(&store, "app".parse().unwrap(), false).await;
    assert_eq!(page.agree(&store).await, Agreed::Stored);
    assert_eq!(page.issue(&store, "before").await, Issued::Stored);
    page.revoke(&store).await;
    assert_eq!(page.issue(&store, "after").await, Issued::ConsentRevoked);
    for code in ["before", "after"] {
        assert!(!is_there(&store, code).await, "{code}");
    }
    // What is agreed to anew is no more than that.
    assert_eq!(page.agree(&store).await, Agreed::Stored);
    assert_eq!(page.issue(&store, "anew").await, Issued::Stored);
    let mut more = page;
    more.ask.scope = "a b".parse().unwrap();
    assert_eq!(more.issue(&store, "more").await, Issued::ConsentRevoked);
    more.ask.document_hash = Some(TokenHash::of("another document"));
    more.ask.scope = "a".parse().unwrap();
    assert_eq!(more.issue(&store, "other").await, Issued::ConsentRevoked);
}

// SEC-14, SEC-46: of an issue and a revocation at once, either the code is seen or the revocation is.
#[tokio::test(flavor = "multi_thread")]
async fn no_code_outlives_a_revocation_at_the_same_time() {
    let (here, there) = testing::open_twice().await;
    let page = Page::open(&here, "app".parse().unwrap(), false).await;
    for number in 0..30 {
        let code = number.to_string();
        assert_eq!(page.agree(&here).await, Agreed::Stored);
        join(page.issue(&here, &code), page.revoke(&there)).await;
        assert!(!is_there(&here, &code).await, "{code}");
    }
}

async fn registered(store: &Store, number: u8) -> ClientId {
    let client_id = model::registration::client_id(&[number; 16]).unwrap();
    let registered = Registered {
        client_id: client_id.clone(),
        realm: sample::granted().terms.realm,
        metadata: "{}".to_owned(),
        secret: None,
        access_token: TokenHash::of([number]),
        source: "a".to_owned(),
        site: "a".to_owned(),
        created_at: sample::NOW,
        used_at: None,
        expires_at: sample::NOW + FIRST_USE,
    };
    let bounds = Bounds {
        per_source: 99,
        per_site: 99,
        in_all: 99,
    };
    registration::insert(store, &registered, bounds)
        .await
        .unwrap();
    client_id
}

async fn unregister(store: &Store, client_id: &ClientId) {
    let lifetimes = Lifetimes::default();
    registration::delete(store, client_id, &lifetimes, sample::NOW)
        .await
        .unwrap();
}

// SEC-33, SEC-46
#[tokio::test]
async fn nothing_is_agreed_to_without_its_session_and_its_client() {
    let store = testing::open().await;
    let client_id = registered(&store, 1).await;
    let page = Page::open(&store, client_id.clone(), true).await;
    // Deleted between the agreement and the code, before anybody has logged in with it.
    assert_eq!(page.agree(&store).await, Agreed::Stored);
    unregister(&store, &client_id).await;
    assert_eq!(page.left(&store).await, []);
    assert_eq!(page.issue(&store, "code").await, Issued::ConsentRevoked);
    // And while the page is shown.
    assert_eq!(page.agree(&store).await, Agreed::Unregistered);
    assert_eq!(page.left(&store).await, []);

    let page = Page {
        basis: Basis {
            session: Id::from_bytes([8; 16]),
            ..page.basis
        },
        ..page
    };
    registered(&store, 1).await;
    assert_eq!(page.agree(&store).await, Agreed::SessionEnded);
    assert_eq!(page.left(&store).await, []);
}

// SEC-33
#[tokio::test(flavor = "multi_thread")]
async fn no_agreement_outlives_its_client() {
    let (here, there) = testing::open_twice().await;
    let mut page = Page::open(&here, registered(&here, 0).await, true).await;
    let much_later = sample::NOW + FIRST_USE + FIRST_USE;
    for number in 1..30 {
        let client_id = registered(&here, number).await;
        page.ask.client_id = client_id.clone();
        page.grant.granted.terms.client_id = client_id.clone();
        page.basis.registered = Some(client_id.clone());
        if number % 2 == 0 {
            join(page.agree(&here), unregister(&there, &client_id)).await;
            assert_eq!(page.left(&here).await, []);
            continue;
        }
        let (agreed, _) = join(page.agree(&here), cleanup::run(&there, much_later)).await;
        let realm = &page.grant.granted.terms.realm;
        let kept = registration::load(&here, realm, &client_id, sample::NOW).await;
        let kept = kept.unwrap().is_some();
        assert_eq!(agreed == Agreed::Stored, kept, "{agreed:?}");
        assert_eq!(page.left(&here).await.len(), usize::from(kept));
        Box::pin(unregister(&here, &client_id)).await;
    }
}
