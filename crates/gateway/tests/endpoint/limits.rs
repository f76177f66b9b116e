//! How much one caller may have under way, and that nobody else notices (SEC-79).

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use http::Method;
use model::gateway::CallerLimits;
use serde_json::json;
use testkit::fake_mcp::{Act, Script, tool};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{Answer, LEGACY, MODERN, World, modern, world_with};

/// A gateway with these limits; its tool `hang` never answers.
async fn limited(script: Script, limits: CallerLimits) -> World {
    let tools = ["echo", "hang", "large"].map(tool);
    let script = script
        .with_tools(tools.into())
        .on("tools/call hang", Act::Hang);
    world_with(script, |settings| settings.gateway.caller_limits = limits).await
}

/// Whether somebody was told to try again later.
async fn is_busy(answer: Answer) -> bool {
    let retry = answer.header("retry-after").to_owned();
    answer.refusal().await == (429, -32000) && retry == "1"
}

/// While Alice has so many calls of `hang` under way in an era, does something else.
async fn while_hanging<T>(
    world: &World,
    era: &str,
    count: usize,
    meanwhile: impl Future<Output = T>,
) -> T {
    let alice = world.alice();
    let calls = join_all((0..count).map(|_| alice.call(era, "hang", json!({}))));
    let meanwhile = async {
        let all = |fake: &testkit::fake_mcp::FakeMcp| fake.seen_of("tools/call").len() == count;
        world.upstream.until("all calls", all).await.unwrap();
        meanwhile.await
    };
    tokio::select! {
        _ = calls => panic!("answered"),
        done = meanwhile => done,
    }
}

// SEC-79
#[tokio::test]
async fn a_caller_has_so_many_calls_under_way_and_others_do_not_notice() {
    for era in [MODERN, LEGACY] {
        let limits = CallerLimits {
            calls: 3,
            ..CallerLimits::default()
        };
        let world = limited(Script::dual(), limits).await;
        world.alice().modern("tools/list", json!({})).await;
        while_hanging(&world, era, 3, async {
            assert!(
                is_busy(world.alice().call(era, "echo", json!({})).await).await,
                "{era}"
            );
            let later = world.claims_with("jti", json!("another token"));
            let with_another_token = world.holder(world.idp.token(&later).unwrap());
            assert!(is_busy(with_another_token.modern("tools/list", json!({})).await).await);
            assert_eq!(
                world.mallory().call(era, "echo", json!({})).await.status,
                200
            );
        })
        .await;
    }
}

// SEC-79, TM-13
#[tokio::test]
async fn a_modern_caller_that_hangs_up_gets_its_place_back() {
    let limits = CallerLimits {
        calls: 2,
        ..CallerLimits::default()
    };
    let world = limited(Script::modern(), limits).await;
    world.alice().modern("tools/list", json!({})).await;
    while_hanging(&world, MODERN, 2, async {}).await;
    assert_eq!(
        world.alice().call(MODERN, "echo", json!({})).await.status,
        200
    );
}

// SEC-79, TL-8
#[tokio::test]
async fn a_legacy_call_keeps_its_place_until_it_is_cancelled_and_can_be_cancelled_at_the_limit() {
    let limits = CallerLimits {
        calls: 1,
        ..CallerLimits::default()
    };
    let world = limited(Script::legacy(), limits).await;
    world.alice().legacy("tools/list", json!({})).await;
    while_hanging(&world, LEGACY, 1, async {}).await;
    // Its reader is gone, and it is carried on.
    assert!(is_busy(world.alice().call(LEGACY, "echo", json!({})).await).await);
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let headers = [("mcp-protocol-version", LEGACY)];
    let answer = world.alice().post(&headers, cancel.to_string()).await;
    assert_eq!(answer.status, 202);
    let told =
        |fake: &testkit::fake_mcp::FakeMcp| !fake.seen_of("notifications/cancelled").is_empty();
    world
        .upstream
        .until("the cancellation", told)
        .await
        .unwrap();
    let mut answer = world.alice().call(LEGACY, "echo", json!({})).await;
    while answer.status == 429 {
        tokio::task::yield_now().await;
        answer = world.alice().call(LEGACY, "echo", json!({})).await;
    }
    assert_eq!(answer.status, 200);
}

// SEC-79
#[tokio::test]
async fn a_caller_has_so_many_streams_open() {
    let limits = CallerLimits {
        streams: 2,
        ..CallerLimits::default()
    };
    let world = limited(Script::dual(), limits).await;
    let session = world.alice().initialize().await;
    let get = world
        .alice()
        .with("mcp-session-id", session)
        .with("accept", "text/event-stream");
    let listen = async |who: &str| {
        let params = json!({"notifications": {"toolsListChanged": true}});
        let actor = if who == "alice" {
            world.alice()
        } else {
            world.mallory()
        };
        actor.modern("subscriptions/listen", params).await
    };
    let first = get.send(Method::GET, "/mcp", &[], "").await;
    let second = listen("alice").await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));
    assert!(is_busy(listen("alice").await).await);
    assert!(is_busy(get.send(Method::GET, "/mcp", &[], "").await).await);
    assert_eq!(listen("mallory").await.status, 200);
    assert_eq!(
        world.alice().call(MODERN, "echo", json!({})).await.status,
        200
    );
    drop(second);
    assert_eq!(listen("alice").await.status, 200);
}

const MEGABYTE: usize = 1024 * 1024;

/// What `large` answers.
fn of_seven_megabytes() -> Act {
    let text = "x".repeat(7 * MEGABYTE);
    Act::json(format!(
        r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"resultType":"complete","content":[{{"type":"text","text":"{text}"}}]}}}}"#
    ))
}

// SEC-79
#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_for_each_and_for_all() {
    let limits = CallerLimits {
        bytes: 16 * MEGABYTE,
        bytes_of_all: 24 * MEGABYTE,
        ..CallerLimits::default()
    };
    let script = Script::modern().on("tools/call large", of_seven_megabytes());
    let world = limited(script, limits).await;
    let mut unread = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        let answer = world.alice().call(MODERN, "large", json!({})).await;
        if answer.status == 200 {
            unread.push(answer);
        } else {
            assert!(is_busy(answer).await);
            refused += 1;
        }
    }
    assert_eq!(
        (unread.len(), refused),
        (2, 18),
        "14 MB of the 140 are held"
    );
    assert_eq!(
        world.alice().call(MODERN, "echo", json!({})).await.status,
        200
    );
    // Mallory has a share of her own, as long as there is room for all.
    let of_mallory = world.mallory().call(MODERN, "large", json!({})).await;
    assert_eq!(of_mallory.status, 200);
    let answer = world.mallory().call(MODERN, "large", json!({})).await;
    assert_eq!(answer.refusal().await, (503, -32000));
    // Who reads gets more.
    assert!(unread.pop().unwrap().text().await.len() > 7 * MEGABYTE);
    assert_eq!(
        world.alice().call(MODERN, "large", json!({})).await.status,
        200
    );
}

// SEC-79
#[tokio::test]
async fn who_reads_its_answers_meets_no_limit() {
    let limits = CallerLimits {
        bytes: 8 * MEGABYTE,
        ..CallerLimits::default()
    };
    let script = Script::modern().on("tools/call large", of_seven_megabytes());
    let world = limited(script, limits).await;
    let settings = net::edge::listen::Settings::plain("main", ([127, 0, 0, 1], 0).into());
    let listener = net::edge::listen::Listener::bind(settings).await.unwrap();
    let address = listener.address();
    let site = std::sync::Arc::new(world.gateway.clone());
    world.tasks.spawn(listener.serve(site, world.stop.clone()));
    let (headers, body) = modern("tools/call", json!({"name": "my-mcp-server___large"}));
    let mut request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        world.token(),
        body.len()
    );
    for (name, value) in &headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.extend(["\r\n", &body]);
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    for _ in 0..5 {
        client.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"}]}}}") && !read.ends_with(b"}}}}") {
            assert!(
                client.read_buf(&mut read).await.unwrap() > 0,
                "the connection stays"
            );
            if read.len() < 1000 && read.windows(4).any(|end| end == b"\r\n\r\n") {
                assert!(
                    read.starts_with(b"HTTP/1.1 200"),
                    "{}",
                    String::from_utf8_lossy(&read)
                );
            }
        }
        assert!(read.len() > 7 * MEGABYTE);
    }
}

// SEC-79
#[tokio::test]
async fn requests_in_memory_are_bounded() {
    let limits = CallerLimits {
        bytes: MEGABYTE,
        ..CallerLimits::default()
    };
    let small = Act::json(r#"{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"complete"}}"#);
    let world = limited(Script::modern().on("tools/call large", small), limits).await;
    world.alice().modern("tools/list", json!({})).await;
    let alice = world.alice();
    let large = || json!({"x": "x".repeat(700_000)});
    let call = alice.call(MODERN, "hang", large());
    let meanwhile = async {
        let arrived = |fake: &testkit::fake_mcp::FakeMcp| !fake.seen_of("tools/call").is_empty();
        world.upstream.until("the call", arrived).await.unwrap();
        assert!(is_busy(alice.call(MODERN, "large", large()).await).await);
        assert_eq!(alice.call(MODERN, "echo", json!({})).await.status, 200);
        assert_eq!(
            world.mallory().call(MODERN, "large", large()).await.status,
            200
        );
    };
    tokio::select! {
        _ = call => panic!("answered"),
        () = meanwhile => {}
    }
    assert_eq!(alice.call(MODERN, "large", large()).await.status, 200);
}

// SEC-79
#[tokio::test]
async fn a_stream_that_nobody_reads_ends_with_an_error_where_there_is_no_room() {
    let note = json!({"jsonrpc": "2.0", "method": "notifications/message",
        "params": {"level": "info", "data": "x".repeat(600_000)}});
    let events = Act::Events(format!("data: {note}\n\n").repeat(3));
    let script = Script::modern().on("tools/call large", events);
    let limits = CallerLimits {
        bytes: MEGABYTE,
        ..CallerLimits::default()
    };
    let world = limited(script, limits).await;
    let params = json!({"name": "my-mcp-server___large", "_meta": {"io.modelcontextprotocol/logLevel": "info"}});
    let mut stream = world.alice().modern("tools/call", params).await.stream();
    let next =
        async |stream: &mut (dyn futures_util::Stream<Item = bytes::Bytes> + Unpin + Send)| {
            let next = tokio::time::timeout(Duration::from_secs(10), stream.next());
            next.await.unwrap()
        };
    let unread = next(&mut stream).await.unwrap();
    assert!(unread.len() > 600_000);
    let last = next(&mut stream).await.unwrap();
    let last = String::from_utf8(last.to_vec()).unwrap();
    assert!(
        last.contains(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"#),
        "{last}"
    );
    assert_eq!(next(&mut stream).await, None);
}
