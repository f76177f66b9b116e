//! The story of somebody who begins: `init`, a user, `serve`, and everything is green.

use crate::program::{Folder, Program, free_port, run};

const PASSWORD: &str = "correct horse battery staple";

#[test]
fn what_init_writes_is_green_as_it_says() {
    let folder = Folder::new();
    let begun = run(&folder, &["init"], "");
    assert!(begun.status.success(), "{begun}");
    let free = || free_port().to_string();
    // The ports that it writes may be taken where tests run.
    let (port, mcp_port) = (free(), free());
    let elsewhere = |text: &str| text.replace("8480", &port).replace("8481", &mcp_port);
    let written = std::fs::read(folder.path().join("sekisho.yaml")).unwrap();
    let configuration = elsewhere(&String::from_utf8(written).unwrap())
        + "management: { address: \"127.0.0.1:0\" }\n";
    folder.write("sekisho.yaml", &configuration);
    folder.write("password", PASSWORD);
    let line = |verb: &str| -> Vec<String> {
        let lines = begun.stderr.lines();
        let mut words = lines.map(|line| line.split_whitespace().map(elsewhere).skip(1));
        let of_verb = words.find(|words| words.clone().next().as_deref() == Some(verb));
        let said = of_verb.unwrap();
        said.take_while(|word| !word.starts_with('(')).collect()
    };
    let added = line("user");
    let added: Vec<&str> = added.iter().map(String::as_str).collect();
    let added = run(&folder, &added, PASSWORD);
    assert!(added.status.success(), "{added}");
    let program = Program::serve(folder, &configuration);
    let mut verify = line("verify");
    verify.extend(["--user", "alice", "--password-file", "password"].map(str::to_owned));
    let verify: Vec<&str> = verify.iter().map(String::as_str).collect();
    let verified = run(&program.folder, &verify, "");
    assert_eq!(verified.status.code(), Some(0), "{verified}");
    assert!(
        verified.stdout.contains(" 0 fail, 0 not asked"),
        "{verified}"
    );
}
