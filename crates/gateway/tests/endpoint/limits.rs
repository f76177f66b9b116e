//! How much one caller may have under way, and that nobody else notices (SEC-79).

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use http::Method;
use model::gateway::CallerLimits;
use serde_json::json;
use testkit::fake_mcp::{Act, Script, tool};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{Actor, Answer, LEGACY, MODERN, World, modern, world_with};

/// A gateway with these limits; its tool `hang` never answers.
async fn limited(script: Script, limits: CallerLimits) -> World {
    let tools = ["echo", "hang", "large", "slow"].map(tool);
    let script = script
        .with_tools(tools.into())
        .on("tools/call hang", Act::Hang);
    world_with(script, |settings| settings.caller_limits = limits).await
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
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
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
        // What a legacy client hung up on goes on as long as its server is there.
        world.upstream.cut();
    }
}

// SEC-79, TM-13
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
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
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
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
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
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

/// An answer with so many bytes of text.
fn of_bytes(bytes: usize) -> Act {
    let text = "x".repeat(bytes);
    Act::json(format!(
        r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"resultType":"complete","content":[{{"type":"text","text":"{text}"}}]}}}}"#
    ))
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn answers_that_nobody_reads_are_bounded_for_each_and_for_all() {
    let limits = CallerLimits {
        bytes: 16 * MEGABYTE,
        bytes_of_all: 24 * MEGABYTE,
        ..CallerLimits::default()
    };
    let script = Script::modern().on("tools/call large", of_bytes(7 * MEGABYTE));
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
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_reads_its_answers_meets_no_limit() {
    let limits = CallerLimits {
        bytes: 8 * MEGABYTE,
        ..CallerLimits::default()
    };
    let script = Script::modern().on("tools/call large", of_bytes(7 * MEGABYTE));
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
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
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
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
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

/// Whether so many more bytes of a caller find room: told at once by a request that is refused for what it says.
async fn has_room(caller: &Actor<'_>, bytes: usize) -> bool {
    let nameless = json!({"name": 0, "padding": "x".repeat(bytes)});
    let answer = caller.modern("tools/call", nameless).await;
    if answer.status == 400 {
        return true;
    }
    assert!(is_busy(answer).await);
    false
}

async fn until_room_is(there: bool, caller: &Actor<'_>, bytes: usize) {
    let waiting = async {
        while has_room(caller, bytes).await != there {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert!(waited.is_ok(), "room for {bytes} bytes: {there}");
}

async fn cancel(caller: &Actor<'_>) {
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let headers = [("mcp-protocol-version", LEGACY)];
    let answer = caller.post(&headers, cancel.to_string()).await;
    assert_eq!(answer.status, 202);
}

const OF_A_MEGABYTE: CallerLimits = CallerLimits {
    calls: 256,
    streams: 64,
    bytes: MEGABYTE,
    bytes_of_all: 64 * MEGABYTE,
};

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_counts_while_it_is_still_arriving() {
    for era in [MODERN, LEGACY] {
        for slow in [Act::HugeJson(900_000), Act::EndlessLine(900_000)] {
            let case = format!("{era} {slow:?}");
            let script = Script::dual()
                .on("tools/call slow", slow)
                .on("tools/call large", of_bytes(600_000));
            let world = limited(script, OF_A_MEGABYTE).await;
            world.alice().modern("tools/list", json!({})).await;
            let (alice, mallory) = (world.alice(), world.mallory());
            let of = async |who: &Actor<'_>, tool| who.call(era, tool, json!({})).await;
            let meanwhile = async {
                until_room_is(false, &alice, 200_000).await;
                assert!(is_busy(of(&alice, "large").await).await, "{case}");
                assert_eq!(of(&alice, "echo").await.status, 200, "{case}");
                assert_eq!(of(&mallory, "large").await.status, 200, "{case}");
            };
            tokio::select! {
                answer = of(&alice, "slow") => panic!("{case}: {}", answer.status),
                () = meanwhile => {}
            }
            if era == LEGACY {
                assert!(!has_room(&alice, 200_000).await, "it is carried on");
                cancel(&alice).await;
            }
            until_room_is(true, &alice, 1_000_000).await;
            assert_eq!(of(&alice, "large").await.status, 200, "{case}");
        }
    }
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_for_which_there_is_no_room_is_not_heard_out_and_the_target_is_not_to_blame() {
    for era in [MODERN, LEGACY] {
        for huge in [Act::HugeJson(4 * MEGABYTE), Act::EndlessLine(4 * MEGABYTE)] {
            let script = Script::dual().on("tools/call slow", huge);
            let world = limited(script, OF_A_MEGABYTE).await;
            for _ in 0..20 {
                let alice = world.alice();
                let answer = alice.call(era, "slow", json!({}));
                let answer = tokio::time::timeout(Duration::from_secs(10), answer).await;
                assert!(is_busy(answer.unwrap()).await, "{era}");
            }
            assert!(has_room(&world.alice(), 1_000_000).await, "{era}");
            let gone = |fake: &testkit::fake_mcp::FakeMcp| fake.abandoned().len() == 20;
            world.upstream.until("it noticed", gone).await.unwrap();
            let echo = world.alice().call(era, "echo", json!({})).await;
            assert_eq!(echo.status, 200, "{era}");
        }
    }
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_answered_before_a_call_is_repeated_counts_no_more() {
    let limits = CallerLimits {
        bytes: 1_500_000,
        ..OF_A_MEGABYTE
    };
    let world = limited(Script::legacy(), limits).await;
    let alice = world.alice();
    assert_eq!(alice.call(LEGACY, "echo", json!({})).await.status, 200);
    let seen = world.upstream.seen_of("tools/call");
    let session = seen[0].header("mcp-session-id").unwrap().to_owned();
    let padding = "x".repeat(700_000);
    let lost = format!(
        r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":-32001,"message":"Session not found","data":"{padding}"}}}}"#
    );
    let lost = Act::with_header("mcp-session-id", session, Act::json(lost));
    world
        .upstream
        .change(|script| script.acts.push(("tools/call echo".to_owned(), lost)));
    let arguments = json!({"x": "x".repeat(500_000)});
    let answer = alice.call(LEGACY, "echo", arguments).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().await.len() > 500_000);
    assert_eq!(world.upstream.seen_of("tools/call").len(), 3);
    assert!(has_room(&alice, 1_400_000).await);
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_is_read_holds_no_more_than_one_message() {
    let note = json!({"jsonrpc": "2.0", "method": "notifications/message",
        "params": {"level": "info", "data": "x".repeat(400_000)}});
    let padding = "x".repeat(400_000);
    let answer = format!(
        r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"resultType":"complete","content":[],"_meta":{{"x":"{padding}"}}}}}}"#
    );
    let events = format!("data: {note}\n\n").repeat(8) + &format!("data: {answer}\n\n");
    let script = Script::modern().on("tools/call large", Act::Events(events));
    let world = limited(script, OF_A_MEGABYTE).await;
    let params = json!({"name": "my-mcp-server___large", "_meta": {"io.modelcontextprotocol/logLevel": "info"}});
    let mut stream = world.alice().modern("tools/call", params).await.stream();
    for message in 0..9 {
        let event = tokio::time::timeout(Duration::from_secs(10), stream.next());
        let length = event.await.unwrap().unwrap().len();
        assert!(length > 400_000, "{message}: {length}");
    }
    assert_eq!(stream.next().await, None);
    assert!(has_room(&world.alice(), 1_000_000).await);
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_the_gateway_asks_for_itself_is_nobodys() {
    let mut script = Script::dual().with_tools(Vec::new());
    let mut large = tool("large");
    large["description"] = "x".repeat(2 * MEGABYTE).into();
    script.tools = vec![large, tool("echo")];
    let world = world_with(script, |settings| {
        settings.caller_limits = OF_A_MEGABYTE;
    })
    .await;
    for era in [MODERN, LEGACY] {
        assert_eq!(
            world.alice().call(era, "echo", json!({})).await.status,
            200,
            "{era}"
        );
    }
}
