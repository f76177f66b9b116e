//! Faults of a target at each phase of each method: whoever asks gets one defined answer that has nothing of the fault in it, and
//! what was asked for once the fault is gone.

#[cfg(test)]
mod cell;
#[cfg(test)]
mod phase;
#[cfg(test)]
mod walk;

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use model::clock::{Clock as _, SystemClock};
use model::target::TargetKind;
use net::edge::listen::{Listener, Settings};
use net::edge::local_ca::LocalCa;
use net::edge::tls::{Certificates, Tls};
use serde_json::json;
use testkit::fake_mcp::{Act, FakeMcp, Script};

use self::cell::{FAILED, SECRET, TIMED_OUT};
use self::phase::{Fault, Phase};
use self::walk::Walk;

/// An HTTP answer that is not the one that was asked for.
fn answer(status: u16, content_type: &'static str, body: &str) -> Act {
    Act::Answer {
        status,
        content_type,
        headers: Vec::new(),
        body: body.to_owned(),
    }
}

/// Walks through all phases with each fault, at targets of both eras.
async fn walk(faults: Vec<Fault>) {
    for fault in faults {
        let walks = [Script::modern(), Script::legacy()].map(|script| async {
            let walk = Box::pin(Walk::begin(script, fault.clone())).await;
            Box::pin(walk.through_all()).await;
        });
        join_all(walks).await;
    }
}

/// What such an answer means for each method.
async fn walk_statuses(statuses: &[(&'static str, u16)]) {
    let fault = |(name, status): &(&'static str, u16)| {
        Fault::new(name, answer(*status, "text/plain", SECRET), FAILED)
    };
    walk(statuses.iter().map(fault).collect()).await;
}

// UC-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_breaks_off_is_met_in_each_method() {
    walk(vec![
        Fault::new("close", Act::Close, FAILED),
        Fault::new("close in mid-stream", Act::CloseMidStream, FAILED),
        Fault::new("truncated", Act::Truncate, FAILED),
    ])
    .await;
}

// UC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_hangs_is_met_in_each_method() {
    walk(vec![
        Fault::new("hang", Act::Hang, TIMED_OUT).hanging(),
        Fault::new("hang after the head", Act::HangAfterHead, TIMED_OUT).hanging(),
        Fault::new(
            "progress without end",
            Act::Drip(Duration::from_millis(5)),
            TIMED_OUT,
        )
        .hanging(),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_is_slow_is_waited_for_in_each_method() {
    let slow = Act::Slow(Duration::from_millis(50));
    walk(vec![Fault::new("slow", slow, &[]).harmless()]).await;
}

// SEC-72
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_answers_what_is_no_answer_is_met_in_each_method() {
    let json = |body: serde_json::Value| Act::json(body.to_string().replace("\"$ID\"", "$ID"));
    walk(vec![
        Fault::new(
            "a page",
            answer(200, "text/html", "<html>SECRET-MARKER</html>"),
            FAILED,
        ),
        Fault::new("no JSON", Act::json(SECRET), FAILED),
        Fault::new("no JSON-RPC", json(json!({ SECRET: SECRET })), FAILED),
        Fault::new(
            "another id",
            json(json!({"jsonrpc": "2.0", "id": "other", "result": {"x": SECRET}})),
            FAILED,
        ),
        Fault::new(
            "no object",
            json(json!({"jsonrpc": "2.0", "id": "$ID", "result": SECRET})),
            FAILED,
        ),
        Fault::new(
            "events that are none",
            Act::Events(format!("data: {SECRET}\n\n")),
            FAILED,
        ),
        Fault::new("nothing", answer(200, "application/json", ""), FAILED),
    ])
    .await;
}

// SEC-72
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_in_trouble_is_met_in_each_method() {
    let statuses = [
        ("status 500", 500),
        ("status 502", 502),
        ("status 503", 503),
        ("status 504", 504),
        ("status 429", 429),
    ];
    walk_statuses(&statuses).await;
}

// SEC-72
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_refuses_is_met_in_each_method() {
    let statuses = [
        ("status 400", 400),
        ("status 401", 401),
        ("status 403", 403),
        ("status 404", 404),
    ];
    walk_statuses(&statuses).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_leads_elsewhere_is_not_followed_in_any_method() {
    let elsewhere = FakeMcp::start(Script::dual()).await.unwrap();
    let leads = |status| Act::Answer {
        status,
        content_type: "text/plain",
        headers: vec![("location", format!("{}/{SECRET}", elsewhere.url()))],
        body: SECRET.to_owned(),
    };
    walk(vec![
        Fault::new("redirect 302", leads(302), FAILED),
        Fault::new("redirect 307", leads(307), FAILED),
    ])
    .await;
    assert_eq!(elsewhere.connections(), 0);
}

// SEC-63
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_says_too_much_is_met_in_each_method() {
    walk(vec![
        Fault::new("a huge answer", Act::HugeJson(1_000_000), FAILED),
        Fault::new("an endless line", Act::EndlessLine(1_000_000), FAILED),
    ])
    .await;
}

// SEC-90: nobody listens there any more, and then somebody does again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_is_gone_is_met_in_each_method() {
    for script in [Script::modern(), Script::legacy()] {
        let mut walk = Walk::begin(script, Fault::gone("gone")).await;
        for phase in [Phase::First, Phase::Request] {
            walk.go_away().await;
            walk.meet(phase).await;
            walk.come_back(phase).await;
            walk.recover(phase).await;
        }
        walk.end().await;
    }
}

// A certificate that nobody vouches for, and no TLS at all: what is declared otherwise is served then.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_cannot_be_trusted_is_met_in_each_method() {
    let place = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    let now = u64::try_from(SystemClock.now().seconds()).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
    let ca = LocalCa::open(&place, now).await.unwrap();
    let certificate = ca.issue(&["127.0.0.1".to_owned()], now).unwrap();
    let tls = Tls::new(Certificates::new(vec![certificate])).unwrap();
    for script in [Script::modern(), Script::legacy()] {
        let settings = Settings {
            tls: Some(tls.clone()),
            ..Settings::plain("untrusted", ([127, 0, 0, 1], 0).into())
        };
        let listener = Listener::bind(settings).await.unwrap();
        let trusted_by_nobody = format!("https://{}/mcp", listener.address());
        let mut listener = Some(listener);
        for untrusted in [Some(trusted_by_nobody), None] {
            let fault = Fault::gone("untrusted");
            let url = untrusted.as_ref();
            let mut walk = Walk::begin_with(script.clone(), fault, |target, own| {
                let url = url.map_or_else(|| own.replace("http:", "https:"), Clone::clone);
                target.kind = TargetKind::mcp(url.parse().unwrap());
            })
            .await;
            if let Some(listener) = listener.take() {
                walk.serve(listener);
            }
            walk.meet(Phase::First).await;
            walk.declare_anew().await;
            walk.recover(Phase::First).await;
            walk.end().await;
        }
    }
}
