//! What somebody at a terminal sees, and does not.
#![cfg(unix)]

use std::io::{Read as _, Write as _};
use std::process::Child;

use pty_process::blocking::{Command, Pty, open};
use rustix::termios::{LocalModes, tcgetattr};

use crate::program::Folder;

/// The program in a terminal of its own.
struct Terminal {
    keys: Pty,
    child: Child,
    seen: String,
}

impl Terminal {
    fn start(folder: &Folder, arguments: &[&str]) -> Self {
        let (keys, other_side) = open().unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .args(arguments)
            .current_dir(folder.path())
            .env_remove("RUST_LOG")
            .env_remove("SEKISHO_CONFIG");
        Self {
            keys,
            child: command.spawn(other_side).unwrap(),
            seen: String::new(),
        }
    }

    fn until(&mut self, text: &str) {
        let mut bytes = Vec::new();
        while !bytes.ends_with(text.as_bytes()) {
            let mut byte = [0];
            if let Err(error) = self.keys.read_exact(&mut byte) {
                panic!("{error} after {}", String::from_utf8_lossy(&bytes));
            }
            bytes.extend(byte);
        }
        self.seen.push_str(&String::from_utf8_lossy(&bytes));
    }

    fn shows_what_is_typed(&self) -> bool {
        let modes = tcgetattr(&self.keys).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// All that was seen, when it has ended well.
    fn end(mut self) -> String {
        // The end of a terminal is an error on Linux.
        let mut rest = Vec::new();
        let _ = self.keys.read_to_end(&mut rest);
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        assert!(self.child.wait().unwrap().success(), "{}", self.seen);
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_password_is_asked_for_twice_and_not_shown() {
    const PASSWORD: &str = "correct horse battery staple";
    let folder = Folder::new();
    folder.write(
        "sekisho.yaml",
        r#"listeners: [ { name: main, address: "127.0.0.1:8480" } ]
realms: [ { name: demo, url: "http://127.0.0.1:8480/realms/demo" } ]
"#,
    );
    let mut terminal = Terminal::start(&folder, &["user", "add", "alice"]);
    for prompt in ["Password: ", "The same once more: "] {
        terminal.until(prompt);
        // The prompt comes a moment before the terminal is told to show nothing.
        while terminal.shows_what_is_typed() {
            std::thread::yield_now();
        }
        let typed = format!("{PASSWORD}\n");
        terminal.keys.write_all(typed.as_bytes()).unwrap();
    }
    let seen = terminal.end();
    assert!(
        seen.contains("realm `demo` has a new user `alice`"),
        "{seen}"
    );
    assert!(!seen.contains(PASSWORD), "{seen}");
}

#[test]
fn the_introduction_of_the_demonstration_comes_last_and_is_not_scrolled_away() {
    let any = "127.0.0.1:0";
    let arguments = ["demo", "--listen", any, "--mcp-listen", any];
    let folder = Folder::new();
    let mut terminal = Terminal::start(&folder, &arguments);
    terminal.until("Ctrl-C ends it.");
    terminal.keys.write_all(b"\x03").unwrap();
    let seen = terminal.end();
    let (before, after) = seen.split_once("MCP endpoint").unwrap();
    assert!(
        before.contains(" WARN ") && before.contains("danger"),
        "{seen}"
    );
    assert!(
        !seen.contains(" INFO ") && !after.contains(" WARN "),
        "{seen}"
    );
    assert!(
        after.contains(&format!("{} verify ", env!("CARGO_BIN_EXE_sekisho"))),
        "{seen}"
    );
}
