//! The document cache over a real origin: caching, failures, single flight, budgets.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use net::egress::budget::{self, BudgetRefusal, Budgets};
use net::egress::client::{Fetched, Limits};
use net::egress::documents::{DocumentError, Documents, Memory, OnError, Origin, Settings};

use crate::fake_http::{FakeHttp, Reply};
use crate::support::{local_client, until, url, within};

type Texts = Documents<String, &'static str>;

fn documents(settings: Settings) -> Texts {
    documents_within(settings, budget::Settings::default())
}

fn documents_within(settings: Settings, budgets: budget::Settings) -> Texts {
    Documents::new(
        local_client(),
        settings,
        Arc::new(Budgets::new(budgets)),
        Arc::new(|| SystemTime::UNIX_EPOCH),
    )
}

fn parse(fetched: &Fetched) -> Result<String, &'static str> {
    let text = String::from_utf8(fetched.body.to_vec()).map_err(|_| "not text")?;
    if text.starts_with('{') {
        Ok(text)
    } else {
        Err("not an object")
    }
}

/// Lets time pass for the cache but not for sockets.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// An origin whose answers follow each other; the last one stays.
async fn origin_with(replies: Vec<Reply>) -> FakeHttp {
    let asked = AtomicUsize::new(0);
    FakeHttp::start(move |_| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        replies[number.min(replies.len() - 1)].clone()
    })
    .await
    .unwrap()
}

// SEC-27, SEC-28
#[tokio::test]
async fn a_document_is_fetched_once_while_it_is_fresh() {
    let origin = origin_with(vec![
        Reply::json("{}").header("cache-control", "max-age=600"),
    ])
    .await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    assert!(documents.cached(&target).is_none());
    let first = documents.get(&target, None, parse).await.unwrap();
    assert_eq!(
        (first.origin, first.revision, first.changed),
        (Origin::Fetched, 1, false)
    );
    assert!(documents.cached(&target).is_some());
    pass(599).await;
    assert_eq!(
        documents.get(&target, None, parse).await.unwrap().origin,
        Origin::Cache
    );
    assert_eq!(origin.count(), 1);
    pass(2).await;
    assert!(documents.cached(&target).is_none());
    let again = documents.get(&target, None, parse).await.unwrap();
    assert_eq!(
        (again.origin, again.revision, again.changed),
        (Origin::Fetched, 1, false)
    );
    assert_eq!(origin.count(), 2);
}

// SEC-28
#[tokio::test]
async fn no_store_is_kept_for_the_shortest_time() {
    let origin = origin_with(vec![Reply::json("{}").header("cache-control", "no-store")]).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    pass(59).await;
    documents.get(&target, None, parse).await.unwrap();
    assert_eq!(origin.count(), 1);
    pass(2).await;
    documents.get(&target, None, parse).await.unwrap();
    assert_eq!(origin.count(), 2);
}

// SEC-28
#[tokio::test]
async fn an_endless_max_age_is_kept_for_the_longest_time() {
    let reply = Reply::json("{}").header("cache-control", "max-age=999999999");
    let origin = origin_with(vec![reply]).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    pass(24 * 3600 - 1).await;
    documents.get(&target, None, parse).await.unwrap();
    assert_eq!(origin.count(), 1);
    pass(2).await;
    documents.get(&target, None, parse).await.unwrap();
    assert_eq!(origin.count(), 2);
}

// CI-11
#[tokio::test]
async fn an_expired_document_is_confirmed_by_its_etag() {
    let origin = FakeHttp::start(|seen| match seen.header("if-none-match") {
        Some("\"v1\"") => Reply::status(304).header("cache-control", "max-age=900"),
        _ => Reply::json("{\"v\":1}").header("etag", "\"v1\""),
    })
    .await
    .unwrap();
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    pass(61).await;
    let confirmed = documents.get(&target, None, parse).await.unwrap();
    assert_eq!(confirmed.origin, Origin::Confirmed);
    assert_eq!(*confirmed.value, "{\"v\":1}");
    assert!(!confirmed.changed);
    pass(890).await;
    assert_eq!(
        documents.get(&target, None, parse).await.unwrap().origin,
        Origin::Cache
    );
    assert_eq!(origin.count(), 2);
}

// CI-11
#[tokio::test]
async fn last_modified_is_sent_back() {
    const DATE: &str = "Sun, 22 Nov 2026 10:00:00 GMT";
    let origin = origin_with(vec![Reply::json("{}").header("last-modified", DATE)]).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    pass(61).await;
    documents.get(&target, None, parse).await.unwrap();
    assert_eq!(origin.seen()[1].header("if-modified-since"), Some(DATE));
}

// CI-20, SEC-19
#[tokio::test]
async fn a_changed_content_is_reported() {
    let origin = origin_with(vec![Reply::json("{\"v\":1}"), Reply::json("{\"v\":2}")]).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    assert_eq!(
        documents.get(&target, None, parse).await.unwrap().revision,
        1
    );
    pass(61).await;
    let second = documents.get(&target, None, parse).await.unwrap();
    assert_eq!((second.revision, second.changed), (2, true));
    let third = documents.get(&target, None, parse).await.unwrap();
    assert_eq!((third.revision, third.changed), (2, false));
    // A set of keys that has moved is newer than the one that was there before.
    let elsewhere = url(&origin.url("/moved"));
    let moved = documents.get(&elsewhere, None, parse).await.unwrap();
    assert_eq!((moved.revision, moved.changed), (3, false));
}

// SEC-23, CI-5
#[tokio::test]
async fn every_status_but_200_is_an_error() {
    for status in [201, 203, 204, 206, 301, 302, 304, 307, 401, 404, 500] {
        let origin = origin_with(vec![Reply::status(status)]).await;
        let documents = documents(Settings::CLIENT_METADATA);
        let error = documents
            .get(&url(&origin.url("/")), None, parse)
            .await
            .unwrap_err();
        assert!(
            matches!(error, DocumentError::Status(got) if got.as_u16() == status),
            "{status}"
        );
    }
}

// SEC-27, SEC-28, CI-11
#[tokio::test]
async fn a_failure_is_remembered_for_half_a_minute_and_not_longer() {
    let origin = origin_with(vec![Reply::status(500), Reply::json("{}")]).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    assert!(documents.get(&target, None, parse).await.is_err());
    pass(29).await;
    assert!(documents.get(&target, None, parse).await.is_err());
    assert_eq!(origin.count(), 1);
    pass(2).await;
    assert!(documents.get(&target, None, parse).await.is_ok());
}

// SEC-28, CI-11
#[tokio::test]
async fn an_invalid_document_is_not_cached_as_valid() {
    let origin = origin_with(vec![Reply::json("[]")]).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    let error = documents.get(&target, None, parse).await.unwrap_err();
    assert!(matches!(error, DocumentError::Invalid(cause) if *cause == "not an object"));
    assert!(documents.cached(&target).is_none());
}

// SEC-28
#[tokio::test]
async fn client_metadata_is_never_used_beyond_its_time() {
    let origin = origin_with(vec![Reply::json("{}"), Reply::status(500)]).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    pass(61).await;
    let error = documents.get(&target, None, parse).await.unwrap_err();
    assert!(matches!(error, DocumentError::Status(_)));
}

// SEC-28
#[tokio::test]
async fn an_invalid_successor_evicts_client_metadata() {
    let replies = vec![
        Reply::json("{}")
            .header("etag", "\"v1\"")
            .header("cache-control", "max-age=600"),
        Reply::json("[]"),
    ];
    let origin = origin_with(replies).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    assert!(documents.refresh(&target, None, parse).await.is_err());
    assert!(documents.cached(&target).is_none());
    pass(31).await;
    assert!(documents.get(&target, None, parse).await.is_err());
    assert_eq!(origin.seen()[2].header("if-none-match"), None);
}

#[tokio::test]
async fn key_sets_outlive_an_outage_of_their_origin() {
    let origin = origin_with(vec![Reply::json("{}"), Reply::status(500)]).await;
    let documents = documents(Settings {
        min_age: Duration::from_mins(1),
        on_error: OnError::ServeStale(Duration::from_hours(1)),
        ..Settings::SERVER_METADATA
    });
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    pass(61).await;
    assert_eq!(
        documents.get(&target, None, parse).await.unwrap().origin,
        Origin::Stale
    );
    assert_eq!(
        documents.get(&target, None, parse).await.unwrap().origin,
        Origin::Stale
    );
    assert_eq!(origin.count(), 2, "the failure is remembered meanwhile");
    pass(3700).await;
    assert!(documents.get(&target, None, parse).await.is_err());
}

// SEC-90
#[tokio::test]
async fn a_configured_origin_that_was_away_is_asked_again_at_once() {
    let origin = origin_with(vec![Reply::status(500), Reply::json("{}")]).await;
    let documents = documents(Settings::CONFIGURED);
    let target = url(&origin.url("/"));
    assert!(documents.get(&target, None, parse).await.is_err());
    pass(1).await;
    assert!(documents.get(&target, None, parse).await.is_ok());
}

// SEC-90
#[tokio::test]
async fn while_the_origin_is_away_nobody_waits_for_it() {
    let replies = vec![
        Reply::json("{}"),
        Reply::status(500),
        Reply::hang(),
        Reply::json("{\"v\":2}"),
    ];
    let origin = origin_with(replies).await;
    let documents = documents(Settings {
        min_age: Duration::from_mins(1),
        limits: Limits {
            deadline: Duration::from_millis(200),
            ..Limits::SERVER_METADATA
        },
        ..Settings::CONFIGURED
    });
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    pass(61).await;
    let stale = documents.get(&target, None, parse).await.unwrap();
    assert_eq!(stale.origin, Origin::Stale);
    pass(1).await;
    // It hangs now: what is known is said meanwhile, to whoever asks, and one of them makes us ask again.
    for _ in 0..10 {
        let stale = documents.get(&target, None, parse).await.unwrap();
        assert_eq!((stale.origin, stale.revision), (Origin::Stale, 1));
    }
    until(|| origin.count() == 3).await;
    let renewed = within(async {
        loop {
            let document = documents.get(&target, None, parse).await.unwrap();
            if document.origin != Origin::Stale {
                return document;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(renewed.await.revision, 2);
}

// SEC-90
#[tokio::test]
async fn what_is_known_outlives_the_client_that_fetched_it() {
    let origin = origin_with(vec![Reply::json("{}"), Reply::status(500)]).await;
    let memory = Arc::new(Memory::<String, &'static str>::new(
        Settings::CONFIGURED,
        Arc::new(Budgets::new(budget::Settings::default())),
        Arc::new(|| SystemTime::UNIX_EPOCH),
    ));
    let target = url(&origin.url("/"));
    let before = Texts::over(Arc::clone(&memory), local_client());
    before.get(&target, None, parse).await.unwrap();
    drop(before);
    let after = Texts::over(memory, local_client());
    assert_eq!(
        after.get(&target, None, parse).await.unwrap().origin,
        Origin::Cache
    );
    assert_eq!(origin.count(), 1);
}

// SEC-27
#[tokio::test]
async fn fifty_callers_cause_one_fetch() {
    let reply = Reply::json("{}").after(Duration::from_millis(50));
    let origin = origin_with(vec![reply]).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    let all = (0..50).map(|_| documents.get(&target, None, parse));
    for document in futures_util::future::join_all(all).await {
        assert_eq!(*document.unwrap().value, "{}");
    }
    assert_eq!(origin.count(), 1);
}

// SEC-27
#[tokio::test]
async fn fifty_callers_share_one_failure() {
    let reply = Reply::status(500).after(Duration::from_millis(50));
    let origin = origin_with(vec![reply]).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    let all = (0..50).map(|_| documents.get(&target, None, parse));
    for document in futures_util::future::join_all(all).await {
        assert!(matches!(document.unwrap_err(), DocumentError::Status(_)));
    }
    assert_eq!(origin.count(), 1);
}

// SEC-27
#[tokio::test]
async fn a_caller_that_gives_up_leaves_the_fetch_to_the_next() {
    let reply = Reply::json("{}").after(Duration::from_millis(200));
    let origin = origin_with(vec![reply]).await;
    let documents = documents(Settings::CLIENT_METADATA);
    let target = url(&origin.url("/"));
    let impatient = documents.get(&target, None, parse);
    let impatient = tokio::time::timeout(Duration::from_millis(20), impatient);
    let (gone, patient) = tokio::join!(impatient, documents.get(&target, None, parse));
    assert!(gone.is_err());
    assert_eq!(*patient.unwrap().value, "{}");
    assert_eq!(origin.count(), 1);
}

// SEC-43, SEC-44
#[tokio::test]
async fn a_refresh_goes_on_when_its_caller_gives_up() {
    let replies = vec![
        Reply::json("{}").header("cache-control", "max-age=600"),
        Reply::json("{\"new\":1}").after(Duration::from_millis(200)),
    ];
    let origin = origin_with(replies).await;
    let documents = documents(Settings::SERVER_METADATA);
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    let impatient = documents.refresh(&target, None, parse);
    let gone = tokio::time::timeout(Duration::from_millis(20), impatient).await;
    assert!(gone.is_err());
    let refreshed = documents.refresh(&target, None, parse).await.unwrap();
    assert_eq!(*refreshed.value, "{\"new\":1}");
    assert_eq!(origin.count(), 2);
}

// SEC-44
#[tokio::test]
async fn a_refresh_happens_at_most_every_half_minute() {
    let origin = origin_with(vec![
        Reply::json("{}").header("cache-control", "max-age=600"),
    ])
    .await;
    let documents = documents(Settings::SERVER_METADATA);
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    let refreshed = documents.refresh(&target, None, parse).await.unwrap();
    assert_eq!(refreshed.origin, Origin::Fetched);
    for _ in 0..10 {
        let refreshed = documents.refresh(&target, None, parse).await.unwrap();
        assert_eq!(refreshed.origin, Origin::Cache);
    }
    assert_eq!(origin.count(), 2);
    pass(31).await;
    documents.refresh(&target, None, parse).await.unwrap();
    assert_eq!(origin.count(), 3);
}

// SEC-44
#[tokio::test]
async fn fifty_refreshes_at_once_are_one_fetch() {
    let reply = Reply::json("{}").after(Duration::from_millis(20));
    let origin = origin_with(vec![reply]).await;
    let documents = documents(Settings::SERVER_METADATA);
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    let all = (0..50).map(|_| documents.refresh(&target, None, parse));
    for document in futures_util::future::join_all(all).await {
        assert!(document.is_ok());
    }
    assert_eq!(origin.count(), 2);
}

// SEC-44
#[tokio::test]
async fn a_failed_refresh_takes_nothing_away() {
    let replies = vec![
        Reply::json("{}").header("cache-control", "max-age=600"),
        Reply::status(500),
    ];
    let origin = origin_with(replies).await;
    let documents = documents(Settings::SERVER_METADATA);
    let target = url(&origin.url("/"));
    documents.get(&target, None, parse).await.unwrap();
    assert_eq!(
        documents
            .refresh(&target, None, parse)
            .await
            .unwrap()
            .origin,
        Origin::Cache
    );
    assert_eq!(
        documents
            .refresh(&target, None, parse)
            .await
            .unwrap()
            .origin,
        Origin::Cache
    );
    assert_eq!(origin.count(), 2);
}

// SEC-27
#[tokio::test]
async fn one_origin_is_asked_only_so_often() {
    let origin = origin_with(vec![Reply::status(404)]).await;
    let budgets = budget::Settings {
        per_origin: 1,
        ..budget::Settings::default()
    };
    let documents = documents_within(Settings::CLIENT_METADATA, budgets);
    let stranger = Some(IpAddr::from([198, 51, 100, 7]));
    let mut refused = 0;
    for number in 0..5 {
        let target = url(&origin.url(&format!("/{number}")));
        match documents.get(&target, stranger, parse).await {
            Err(DocumentError::Budget(BudgetRefusal::OriginRate)) => refused += 1,
            Err(DocumentError::Status(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((origin.count(), refused), (3, 2));
}

// SEC-27, SEC-28
#[tokio::test]
async fn invented_urls_do_not_keep_a_known_document_from_being_renewed() {
    let origin = FakeHttp::start(|seen| match &*seen.target {
        "/good" => Reply::json("{}"),
        _ => Reply::status(404),
    })
    .await
    .unwrap();
    let budgets = budget::Settings {
        per_origin: 0,
        newcomers_per_origin: 3,
        per_source: 1,
        ..budget::Settings::default()
    };
    let documents = documents_within(Settings::CLIENT_METADATA, budgets);
    let source = |number: u8| Some(IpAddr::from([198, 51, 100, number]));
    let good = url(&origin.url("/good"));
    documents.get(&good, source(0), parse).await.unwrap();
    pass(61).await;
    let mut refusal = None;
    for number in 0..5 {
        let invented = url(&origin.url(&format!("/{number}")));
        let error = documents.get(&invented, source(number), parse).await;
        refusal = error.err();
    }
    assert!(matches!(
        refusal,
        Some(DocumentError::Budget(BudgetRefusal::OriginRate))
    ));
    assert!(documents.get(&good, source(0), parse).await.is_ok());
}

// SEC-27
#[tokio::test]
async fn slow_origins_hold_up_nobodys_first_fetch() {
    let mut slow = Vec::new();
    for _ in 0..5 {
        slow.push(FakeHttp::start(|_| Reply::hang()).await.unwrap());
    }
    let documents = documents(Settings::CLIENT_METADATA);
    let all: Vec<_> = (0..8_u8)
        .flat_map(|source| {
            slow.iter().map(move |origin| {
                let invented = url(&origin.url(&format!("/{source}")));
                (invented, IpAddr::from([198, 51, 100, source]))
            })
        })
        .collect();
    let attack = all
        .iter()
        .map(|(invented, source)| documents.get(invented, Some(*source), parse));
    let mut attack = std::pin::pin!(futures_util::future::join_all(attack));
    assert!(futures_util::poll!(&mut attack).is_pending());
    // Each of the eight has two fetches that hang, and waits with the others.
    until(|| slow.iter().map(FakeHttp::count).sum::<usize>() == 16).await;
    let origin = origin_with(vec![Reply::json("{}")]).await;
    let victim = Some(IpAddr::from([203, 0, 113, 1]));
    let found = within(documents.get(&url(&origin.url("/")), victim, parse)).await;
    assert_eq!(found.unwrap().origin, Origin::Fetched);
}

// SEC-27
#[tokio::test]
async fn one_source_causes_only_so_many_fetches() {
    let origin = origin_with(vec![Reply::status(404)]).await;
    let budgets = budget::Settings {
        per_source: 2,
        ..budget::Settings::default()
    };
    let documents = documents_within(Settings::CLIENT_METADATA, budgets);
    let stranger: IpAddr = "198.51.100.7".parse().unwrap();
    for number in 0..3 {
        let target = url(&origin.url(&format!("/{number}")));
        let error = documents
            .get(&target, Some(stranger), parse)
            .await
            .unwrap_err();
        let refused = matches!(error, DocumentError::Budget(BudgetRefusal::SourceRate));
        assert_eq!(refused, number == 2);
    }
    let other: IpAddr = "198.51.100.8".parse().unwrap();
    let error = documents
        .get(&url(&origin.url("/9")), Some(other), parse)
        .await
        .unwrap_err();
    assert!(matches!(error, DocumentError::Status(_)));
}

// SEC-27
#[tokio::test]
async fn a_budget_refusal_is_not_remembered_as_a_failure() {
    let origin = origin_with(vec![Reply::json("{}")]).await;
    let budgets = budget::Settings {
        per_source: 0,
        ..budget::Settings::default()
    };
    let documents = documents_within(Settings::CLIENT_METADATA, budgets);
    let target = url(&origin.url("/"));
    let stranger: IpAddr = "198.51.100.7".parse().unwrap();
    let error = documents
        .get(&target, Some(stranger), parse)
        .await
        .unwrap_err();
    assert!(matches!(error, DocumentError::Budget(_)));
    assert!(documents.get(&target, None, parse).await.is_ok());
}

// SEC-27, SEC-79
#[tokio::test]
async fn the_cache_is_bounded_and_failures_leave_first() {
    let origin = FakeHttp::start(|seen| {
        if seen.target == "/good" {
            Reply::json("{}")
        } else {
            Reply::status(404)
        }
    })
    .await
    .unwrap();
    let documents = documents(Settings {
        entries: 3,
        ..Settings::CLIENT_METADATA
    });
    let good = url(&origin.url("/good"));
    documents.get(&good, None, parse).await.unwrap();
    for number in 0..10 {
        let bad = url(&origin.url(&format!("/{number}")));
        assert!(documents.get(&bad, None, parse).await.is_err());
    }
    assert!(documents.cached(&good).is_some());
    documents.forget(&good);
    assert!(documents.cached(&good).is_none());
}

// SEC-35
#[tokio::test]
async fn a_forbidden_url_costs_nothing() {
    let documents = documents(Settings::CLIENT_METADATA);
    let error = documents
        .get(&url("http://169.254.169.254/"), None, parse)
        .await
        .unwrap_err();
    assert!(matches!(error, DocumentError::Fetch(_)));
}
