//! The log and its reader: one that stalls stops nobody, and what strangers send can't disfigure it. What it says of
//! requests is asked in `log_lines`.

use std::io::Read as _;

use oauth::metadata::display_name::is_hidden;
use testkit::browser::Browser;

use crate::program::{Folder, Program, free_port};

/// How many lines of its log the program says that it dropped.
async fn dropped(program: &Program, browser: &mut Browser) -> u64 {
    let page = browser.get(&program.management("/metrics")).await.unwrap();
    let metrics = page.text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("sekisho_log_lines_dropped_total "))
        .unwrap_or_else(|| panic!("{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

// SEC-83
#[tokio::test]
async fn a_reader_of_the_log_that_stalls_stops_no_request_and_not_the_end() {
    let port = free_port();
    let configuration = format!(
        "listeners: [ {{ name: main, address: \"127.0.0.1:{port}\" }} ]\n\
         management: {{ address: \"127.0.0.1:0\" }}\n\
         store: {{ url: \"sqlite::memory:\" }}\n\
         proxies: [ {{ url: \"http://127.0.0.1:{port}/p/\", upstream: \"http://127.0.0.1:1\" }} ]\n\
         egress: {{ allow_networks: [ 127.0.0.0/8 ] }}\n"
    );
    let mut program = Program::serve_unread(Folder::new(), &configuration);
    let mut browser = program.browser();
    let long = "x".repeat(400);
    let mut asked = 0;
    while dropped(&program, &mut browser).await == 0 {
        for _ in 0..500 {
            let url = format!("http://127.0.0.1:{port}/{asked}/{long}");
            browser.get(&url).await.unwrap();
            asked += 1;
        }
        assert!(asked < 20_000, "the log has no bound");
    }
    let mut log = program.unread.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        let mut piece = [0; 4096];
        while !text.contains("were dropped here") {
            let read = log.read(&mut piece).unwrap();
            assert!(read > 0, "nothing said that lines are missing");
            text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        // And it stalls again.
        (log, text)
    });
    let (_log, text) = reading.join().unwrap();
    assert!(text.contains("lines=") && text.contains("/0/xxx"), "{text}");

    let before = dropped(&program, &mut browser).await;
    while dropped(&program, &mut browser).await == before {
        let url = format!("http://127.0.0.1:{port}/again/{long}");
        browser.get(&url).await.unwrap();
    }
    program.signal("TERM");
    let ended = program.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
}

// SEC-76
#[tokio::test]
async fn long_and_deceptive_requests_make_short_and_plain_lines() {
    let demo = Program::demo(&[]);
    let mut browser = demo.browser();
    let origin = url::Url::parse(&demo.place("mcp_endpoint")).unwrap();
    let long = origin.join(&format!("/{}", "y".repeat(30_000))).unwrap();
    browser.get(long.as_str()).await.unwrap();
    let client_id = format!("https://a.example/\u{202e}{}", "z".repeat(10_000));
    let url = url::Url::parse_with_params(
        &format!("{}/authorize", demo.place("issuer")),
        [("client_id", client_id)],
    );
    browser.get(url.unwrap().as_str()).await.unwrap();
    demo.signal("TERM");
    let ended = demo.wait();
    assert!(ended.stderr.contains("/yyyy"), "{}", ended.stderr);
    for line in ended.stderr.lines() {
        assert!(line.len() < 9_000, "a line of {} bytes", line.len());
        assert!(!line.contains(is_hidden), "{line:?}");
    }
}
