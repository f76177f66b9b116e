//! What is decided about is what the target reads, also where it reads without regard to case (SEC-81).

use serde_json::json;
use testkit::fake_mcp::{Script, tool};

use crate::world::{LEGACY, MODERN, World, modern, world};

/// An upstream that finds members as servers in Go do, with a tool that nobody should run by accident.
async fn careless() -> World {
    let tools = ["read_note", "delete_everything", "query"].map(|name| match name {
        "query" => json!({
            "name": "query",
            "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
        }),
        name => tool(name),
    });
    world(Script::dual().with_tools(tools.into()).ignoring_case()).await
}

/// Members beside the real ones that make such an upstream run something else.
const VARIANTS: [&str; 10] = [
    r#""Name":"delete_everything""#,
    r#""NAME":"delete_everything""#,
    r#""n\u0041me":"delete_everything""#,
    r#""Arguments":{"id":"ALL"}"#,
    "\"argument\u{17f}\":{\"id\":\"ALL\"}",
    r#""argument\u017f":{"id":"ALL"}"#,
    r#""ARGUMENT\u017F":{"id":"ALL"}"#,
    r#""_META":{"progressToken":9}"#,
    r#""_Meta":{}"#,
    r#""arguments":{"id":"ALL"}"#,
];

/// Sends a call in an era, with a member more in `params`: before all others, or after them.
async fn call(world: &World, era: &str, extra: &str, first: bool) -> (u16, serde_json::Value) {
    let params = json!({"name": "my-mcp-server___read_note", "arguments": {"id": "1"}});
    let (headers, body) = modern("tools/call", params);
    let (headers, body) = if era == MODERN {
        (headers, body)
    } else {
        let mut message: serde_json::Value = serde_json::from_str(&body).unwrap();
        message["params"].as_object_mut().unwrap().remove("_meta");
        let headers = vec![("mcp-protocol-version", LEGACY.to_owned())];
        (headers, message.to_string())
    };
    let body = if first {
        body.replacen(r#""params":{"#, &format!(r#""params":{{{extra},"#), 1)
    } else {
        let (front, end) = body.split_at(body.rfind("}}").unwrap());
        format!("{front},{extra}{end}")
    };
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let answer = world.alice().post(&headers, body).await;
    (answer.status.as_u16(), answer.json().await)
}

// SEC-81
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn members_in_another_case_reach_no_upstream() {
    let world = careless().await;
    for era in [MODERN, LEGACY] {
        for first in [true, false] {
            for variant in VARIANTS {
                let (_, answer) = call(&world, era, variant, first).await;
                assert_eq!(answer["error"]["code"], -32602, "{era} {variant}: {answer}");
            }
        }
    }
    assert!(world.upstream.seen_of("tools/call").is_empty());
    for era in [MODERN, LEGACY] {
        let (status, answer) = call(&world, era, r#""nome":"delete_everything""#, false).await;
        assert_eq!(status, 200);
        assert_eq!(answer["result"]["content"][0]["text"], r#"{"id":"1"}"#);
    }
}

// SEC-81
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_of_the_metadata_in_another_case_reach_no_upstream() {
    let world = careless().await;
    for key in [
        "ProgressToken",
        "progressTo\u{212a}en",
        "progreſſToken",
        "io.modelcontextprotocol/ClientInfo",
        "io.modelcontextprotocol/ſubscriptionId",
        "IO.modelcontextprotocol/serverInfo",
    ] {
        let params = json!({"name": "my-mcp-server___read_note", "_meta": {key: 1}});
        let answer = world.alice().modern("tools/call", params.clone()).await;
        assert_eq!(answer.refusal().await, (400, -32602), "{key}");
        let answer = world.alice().legacy("tools/call", params).await;
        assert_eq!(answer.refusal().await, (400, -32602), "{key}");
    }
    assert!(world.upstream.seen_of("tools/call").is_empty());
}

// SEC-81
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_envelope_in_another_case_is_refused() {
    let world = careless().await;
    for variant in [
        r#""Method":"tools/list""#,
        r#""PARAMS":{}"#,
        r#""paramſ":{}"#,
        r#""Id":2"#,
        r#""JSONRPC":"2.0""#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping",{variant}}}"#);
        let answer = world.alice().post(&[], body).await;
        assert_eq!(answer.refusal().await, (400, -32600), "{variant}");
    }
}

// TM-6, SEC-81
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn mirrored_arguments_that_occur_twice_reach_no_upstream() {
    let world = careless().await;
    let post = async |era: &str, arguments: &str| {
        let params = json!({"name": "my-mcp-server___query", "arguments": "HERE"});
        let (mut headers, body) = modern("tools/call", params);
        headers.push(("mcp-param-region", "a".to_owned()));
        let mut body = body.replace(r#""HERE""#, arguments);
        if era == LEGACY {
            headers = vec![("mcp-protocol-version", LEGACY.to_owned())];
            body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"my-mcp-server___query","arguments":{arguments}}}}}"#
            );
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        world.alice().post(&headers, body).await
    };
    for era in [MODERN, LEGACY] {
        for arguments in [
            r#"{"region":"a","region":"b"}"#,
            r#"{"region":"a","r\u0065gion":"b"}"#,
            r#"{"region":"a","Region":"b"}"#,
        ] {
            let answer = post(era, arguments).await.json().await;
            assert_eq!(
                answer["error"]["code"], -32602,
                "{era} {arguments}: {answer}"
            );
        }
    }
    assert!(world.upstream.seen_of("tools/call").is_empty());
    for era in [MODERN, LEGACY] {
        let answer = post(era, r#"{"region":"a","other":1}"#).await;
        assert_eq!(answer.status, 200, "{era}");
    }
}

// SEC-81
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tool_whose_name_clients_could_read_differently_is_left_out() {
    let odd = json!({"name": "harmless", "Name": "my-mcp-server___read_note", "inputSchema": {"type": "object"}});
    let world = world(Script::dual().with_tools(vec![odd, tool("read_note")])).await;
    let answer = world
        .alice()
        .modern("tools/list", json!({}))
        .await
        .json()
        .await;
    let names: Vec<&str> = answer["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["my-mcp-server___read_note"]);
}
