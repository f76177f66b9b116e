//! Where the database and its key are, and when an empty one may take their place.

use std::path::Path;

use crate::program::{Ended, Folder, command, run};

const CONFIGURATION: &str = r#"listeners: [ { name: main, address: "127.0.0.1:8480" } ]
realms: [ { name: demo, url: "http://127.0.0.1:8480/realms/demo" } ]
"#;

/// Runs a command that needs no input in a directory of the folder.
fn run_in(folder: &Folder, directory: &str, arguments: &[&str]) -> Ended {
    let output = command(folder, arguments)
        .current_dir(folder.path().join(directory))
        .output()
        .unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                all.push(path.strip_prefix(directory).unwrap().display().to_string());
            }
        }
    }
    all.sort();
    all
}

/// A folder with a database that was used.
fn begun() -> Folder {
    let folder = Folder::new();
    folder.write("sekisho.yaml", CONFIGURATION);
    assert!(run(&folder, &["migrate"], "").status.success());
    folder
}

fn remove(folder: &Folder, name: &str) {
    std::fs::remove_file(folder.path().join("sekisho-data").join(name)).unwrap();
}

#[test]
fn one_configuration_has_one_database_however_its_path_is_spelled() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path().join("conf/deep")).unwrap();
    folder.write("conf/sekisho.yaml", CONFIGURATION);
    let absolute = folder.path().join("conf/sekisho.yaml");
    let absolute = absolute.to_str().unwrap();
    for (directory, spelling) in [
        ("", "conf/sekisho.yaml"),
        ("", "./conf/../conf/sekisho.yaml"),
        ("conf", "sekisho.yaml"),
        ("conf/deep", "../sekisho.yaml"),
        ("conf/deep", absolute),
    ] {
        let ended = run_in(&folder, directory, &["migrate", "--config", spelling]);
        assert!(ended.status.success(), "{ended}");
        assert_eq!(
            files(folder.path()),
            [
                "conf/sekisho-data/sekisho.db",
                "conf/sekisho-data/sekisho.db.lock",
                "conf/sekisho-data/store.key",
                "conf/sekisho.yaml",
            ],
            "{spelling} in `{directory}`"
        );
    }
}

#[test]
fn a_database_that_is_gone_is_not_silently_replaced_by_an_empty_one() {
    let folder = begun();
    remove(&folder, "sekisho.db");
    for arguments in [["serve"].as_slice(), &["migrate"], &["client", "list"]] {
        let refused = run(&folder, arguments, "");
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.stderr.trim_end(), @"error: the database sqlite:sekisho-data/sekisho.db is not there, but its key is there: `sekisho-data/store.key`, and its lock is there: `sekisho-data/sekisho.db.lock`; hint: bring the database back; if an empty one shall take its place, `sekisho migrate --begin-empty` makes it");
        }
    }
    assert_eq!(
        files(folder.path()),
        [
            "sekisho-data/sekisho.db.lock",
            "sekisho-data/store.key",
            "sekisho.yaml"
        ]
    );
    let insisted = run(&folder, &["migrate", "--begin-empty"], "");
    assert!(insisted.status.success(), "{insisted}");
    assert!(run(&folder, &["client", "list"], "").status.success());
}

#[test]
fn a_database_that_was_emptied_is_not_taken_for_a_new_one() {
    let folder = begun();
    folder.write("sekisho-data/sekisho.db", "");
    let refused = run(&folder, &["migrate"], "");
    assert!(
        refused.stderr.contains("is empty, but its key is there"),
        "{refused}"
    );
    assert!(
        run(&folder, &["migrate", "--begin-empty"], "")
            .status
            .success()
    );
}

#[test]
fn a_lock_or_a_word_of_the_operator_is_enough_to_know_that_there_was_a_database() {
    let folder = begun();
    remove(&folder, "sekisho.db");
    remove(&folder, "store.key");
    let refused = run(&folder, &["migrate"], "");
    assert!(refused.stderr.contains("its lock is there"), "{refused}");

    let folder = Folder::new();
    folder.write(
        "sekisho.yaml",
        &format!("{CONFIGURATION}store: {{ must_exist: true }}\n"),
    );
    let refused = run(&folder, &["migrate"], "");
    assert!(refused.stderr.contains("`store.must_exist`"), "{refused}");
    assert_eq!(files(folder.path()), ["sekisho.yaml"]);
}

#[test]
fn a_new_key_is_not_made_beside_a_database_that_has_one() {
    let folder = begun();
    remove(&folder, "store.key");
    insta::assert_snapshot!(run(&folder, &["migrate"], ""), @"
    exit code: 1
    --- stdout
    --- stderr
    error: the key of the database sqlite:sekisho-data/sekisho.db is not there: `sekisho-data/store.key`; hint: bring it back, or give the one that the other nodes have as `store.key`
    ");
    assert_eq!(
        files(folder.path()),
        [
            "sekisho-data/sekisho.db",
            "sekisho-data/sekisho.db.lock",
            "sekisho.yaml"
        ]
    );
}

#[test]
fn a_start_that_was_interrupted_goes_on() {
    let folder = Folder::new();
    folder.write("sekisho.yaml", CONFIGURATION);
    std::fs::create_dir(folder.path().join("sekisho-data")).unwrap();
    folder.write("sekisho-data/sekisho.db", "");
    folder.write("sekisho-data/sekisho.db.lock", "");
    let ended = run(&folder, &["migrate"], "");
    assert!(ended.status.success(), "{ended}");
}

// SEC-70
#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_or_change_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = begun();
    let key = folder.path().join("sekisho-data/store.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o666)).unwrap();
    insta::assert_snapshot!(run(&folder, &["migrate"], ""), @"
    exit code: 1
    --- stdout
    --- stderr
    error: the file `sekisho-data/store.key` can't be read: others can read or change it (mode 666); hint: chmod 600
    ");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(run(&folder, &["migrate"], "").status.success());
}

#[test]
fn a_new_user_is_in_the_file_itself_when_the_command_has_ended() {
    let folder = Folder::new();
    folder.write("sekisho.yaml", CONFIGURATION);
    let added = run(
        &folder,
        &["user", "add", "alice"],
        "correct horse battery staple",
    );
    assert!(added.status.success(), "{added}");
    assert_eq!(
        files(folder.path()),
        [
            "sekisho-data/sekisho.db",
            "sekisho-data/sekisho.db.lock",
            "sekisho-data/store.key",
            "sekisho.yaml",
        ]
    );
}

// SEC-70
#[test]
fn a_local_ca_is_not_made_in_a_directory_that_others_share() {
    let folder = Folder::new();
    let output = command(&folder, &["demo", "--tls", "--listen", "127.0.0.1:0"])
        .env_remove("HOME")
        .env_remove("XDG_DATA_HOME")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("hint: say where with --data DIR"), "{said}");
}
