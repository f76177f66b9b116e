//! `sekisho verify` in the hands of a person: one browser window, and what was likely meant when the URL is off.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use testkit::browser::Page;

use crate::program::{Ended, Folder, Program, command, run};

/// What a person does on a page, until the walk says that it is over: logs in, allows, and lets pages lead on.
async fn browse(program: &Program, start: &str) {
    let mut browser = program.browser();
    let mut page = browser.open(start).await.unwrap();
    let mut steps = 0;
    while !page.text().contains("The walk is over") {
        steps += 1;
        assert!(
            steps < 100,
            "no end in sight at {}: {}",
            page.url,
            page.text()
        );
        page = if let Some(elsewhere) = page.redirect() {
            browser.open(elsewhere.as_str()).await.unwrap()
        } else if let Some(onward) = refresh(&page) {
            browser.open(&onward).await.unwrap()
        } else if page.text().contains("name=\"password\"") {
            let fill = [("username", "alice"), ("password", "alice")];
            browser.submit(&page, &fill, "login").await.unwrap()
        } else {
            browser.submit(&page, &[], "allow").await.unwrap()
        };
    }
}

/// Where a page leads by itself.
fn refresh(page: &Page) -> Option<String> {
    let text = page.text();
    let (_, rest) = text.split_once("content=\"0; url=")?;
    let url = rest.split('"').next()?.replace("&amp;", "&");
    Some(page.url.join(&url).unwrap().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_browser_window_serves_the_whole_walk() {
    let demo = Program::demo(&[]);
    let folder = Folder::new();
    let junit = folder.path().join("report.xml");
    let endpoint = demo.place("mcp_endpoint");
    let arguments = ["verify", &endpoint, "--junit", junit.to_str().unwrap()];
    let mut child = command(&folder, &arguments)
        .env("PATH", "") // nothing there that opens a window
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (windows, mut opened) = tokio::sync::mpsc::unbounded_channel();
    let reader = std::thread::spawn(move || {
        for line in stderr.lines().map(Result::unwrap) {
            if let Some(url) = line.strip_prefix("log in here: ") {
                windows.send(url.to_owned()).unwrap();
            }
        }
    });
    let url = opened.recv().await.unwrap();
    browse(&demo, &url).await;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap();
    reader.join().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(" 0 fail, 0 not asked"), "{said}");
    assert_eq!(opened.recv().await, None, "a second window was opened");
    let report = String::from_utf8(std::fs::read(&junit).unwrap()).unwrap();
    assert!(report.contains(" failures=\"0\" errors=\"0\""), "{report}");
    assert!(report.contains("<testcase classname=\"authorization\" name=\"code\">"));
}

/// Asks about a URL near that of the demonstration, as somebody who mistyped it.
fn mistyped(url: &str) -> Ended {
    let folder = Folder::new();
    let password = folder.write("password", "alice");
    let user = ["--user", "alice", "--password-file"];
    let arguments = [&["verify", url][..], &user, &[password.to_str().unwrap()]].concat();
    run(&folder, &arguments, "")
}

#[test]
fn what_was_likely_meant_is_said() {
    let plain = Program::demo(&[]).place("mcp_endpoint");
    let open = Program::demo(&[]);
    let https = open.place("mcp_endpoint").replace("http://", "https://");
    let ended = mistyped(&https);
    let meant = format!("hint: did you mean {}?", open.place("mcp_endpoint"));
    assert!(ended.stdout.contains(&meant), "{ended}");
    // Nothing listens there any more, so there is nothing to propose.
    let ended = mistyped(&plain);
    assert!(ended.stdout.contains("hint: check the URL"), "{ended}");

    let secure = Program::demo(&["--tls"]);
    let endpoint = secure.place("mcp_endpoint");
    let ended = mistyped(&endpoint);
    assert!(ended.stdout.contains("--ca-file"), "{ended}");
    let ended = mistyped(&endpoint.replace("https://", "http://"));
    assert!(
        ended.stdout.contains(&format!("did you mean {endpoint}?")),
        "{ended}"
    );
}
