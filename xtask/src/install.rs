//! Installs what the tests need and nobody here wrote: by package name, into the target folder where possible, once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::shell;

/// The newest Keycloak of the 26 series that is published as a distribution of its own.
pub(crate) const KEYCLOAK: &str = "26.7.3";

/// Which of the two Python environments.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Python {
    /// `mcp` 1.x, as the published experiment used it.
    Mcp1,
    /// The newest `mcp`.
    Mcp2,
}

/// A Keycloak and the Java to run it with.
#[derive(Debug)]
pub(crate) struct Keycloak {
    pub(crate) home: PathBuf,
    pub(crate) java_home: PathBuf,
}

/// Where everything is installed to and where end-to-end tests leave their artefacts.
pub(crate) fn home() -> PathBuf {
    shell::target().join("e2e")
}

/// Installs the named things, or all of them.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let all = ["node", "python", "chromium", "postgres", "keycloak", "rmcp"];
    let names: Vec<&str> = if names.is_empty() {
        all.to_vec()
    } else {
        names.iter().map(String::as_str).collect()
    };
    for name in names {
        let started = shell::clock();
        match name {
            "node" => drop(node()?),
            "python" => {
                python(Python::Mcp1)?;
                python(Python::Mcp2)?;
            }
            "chromium" => drop(chromium()?),
            "postgres" => drop(postgres()?),
            "keycloak" => drop(keycloak()?),
            "rmcp" => drop(rmcp()?),
            "nginx" => drop(nginx()?),
            other => bail!(
                "nothing called `{other}` is installed here; known: {}, nginx",
                all.join(", ")
            ),
        }
        println!(
            "install: {name} is there ({} s)",
            started.elapsed().as_secs()
        );
    }
    Ok(())
}

/// The npm packages of e2e/package-lock.json, Node itself among them. Returns the folder that has `node_modules`.
pub(crate) fn node() -> Result<PathBuf> {
    let folder = home().join("node");
    let lock = shell::read(&shell::root().join("e2e/package-lock.json"))?;
    let node = folder.join("node_modules/.bin/node");
    once(&folder.join(".installed"), &lock, || {
        if shell::on_path("npm").is_none() {
            apt("npm")?;
        }
        fs::remove_dir_all(&folder).ok();
        shell::write(
            &folder.join("package.json"),
            &shell::read(&shell::root().join("e2e/package.json"))?,
        )?;
        shell::write(&folder.join("package-lock.json"), &lock)?;
        let mut npm = shell::command("npm");
        npm.current_dir(&folder)
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        // A setting of this name in the user's own file makes npm refuse nested installs.
        npm.env_remove("npm_config_allow_scripts");
        shell::quietly(&mut npm)?;
        let version = shell::quietly(shell::command(&node).arg("--version"))?;
        if !version.starts_with("v24.") {
            bail!("the npm package `node` brought {}, not 24", version.trim());
        }
        Ok(())
    })?;
    Ok(folder)
}

/// The server on the official Rust SDK of e2e/rmcp. Returns the program.
pub(crate) fn rmcp() -> Result<PathBuf> {
    let target = home().join("rmcp");
    let manifest = shell::root().join("e2e/rmcp/Cargo.toml");
    let mut build = shell::cargo();
    build
        .args(["build", "--locked", "--quiet", "--manifest-path"])
        .arg(&manifest)
        .env("CARGO_TARGET_DIR", &target);
    shell::succeed(&mut build)?;
    Ok(target.join("debug/rmcp-everything"))
}

/// A Python environment with pinned packages. Returns its interpreter.
pub(crate) fn python(which: Python) -> Result<PathBuf> {
    let name = match which {
        Python::Mcp1 => "mcp1",
        Python::Mcp2 => "mcp2",
    };
    let folder = home().join(format!("python-{name}"));
    let requirements = shell::root().join(format!("e2e/python/requirements-{name}.txt"));
    let interpreter = folder.join("bin/python");
    once(
        &folder.join(".installed"),
        &shell::read(&requirements)?,
        || {
            fs::remove_dir_all(&folder).ok();
            let make =
                || shell::quietly(shell::command("python3").args(["-m", "venv"]).arg(&folder));
            if make().is_err() {
                apt("python3-venv")?;
                fs::remove_dir_all(&folder).ok();
                make()?;
            }
            let mut pip = shell::command(&interpreter);
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "-r",
            ])
            .arg(&requirements);
            shell::quietly(&mut pip).map(drop)
        },
    )?;
    Ok(interpreter)
}

/// Debian's Chromium, and what tells it to trust a CA; test tools' own downloads of a browser are not used.
pub(crate) fn chromium() -> Result<PathBuf> {
    if shell::on_path("certutil").is_none() {
        apt("libnss3-tools")?;
    }
    if let Some(found) = shell::on_path("chromium") {
        return Ok(found);
    }
    apt("chromium")?;
    shell::on_path("chromium").context("the package `chromium` brought no program of that name")
}

/// nginx, the plain reverse proxy of the comparison. Only benchmarks need it.
pub(crate) fn nginx() -> Result<PathBuf> {
    if let Some(found) = shell::on_path("nginx") {
        return Ok(found);
    }
    apt("nginx")?;
    shell::on_path("nginx").context("the package `nginx` brought no program of that name")
}

/// The folder with the programs of the newest PostgreSQL server of the machine.
pub(crate) fn postgres() -> Result<PathBuf> {
    if let Some(found) = postgres_programs() {
        return Ok(found);
    }
    apt("postgresql")?;
    postgres_programs().context("the package `postgresql` brought no server")
}

fn postgres_programs() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            programs
                .join("initdb")
                .is_file()
                .then_some((version, programs))
        })
        .collect();
    versions.sort();
    versions.pop().map(|(_, programs)| programs)
}

/// Keycloak's distribution through Maven, unpacked and built once for the features that the tests use.
pub(crate) fn keycloak() -> Result<Keycloak> {
    let java_home = java()?;
    let folder = home().join("keycloak");
    let home = folder.join(format!("keycloak-{KEYCLOAK}"));
    once(&folder.join(".installed"), KEYCLOAK, || {
        for (program, package) in [("mvn", "maven"), ("unzip", "unzip")] {
            if shell::on_path(program).is_none() {
                apt(package)?;
            }
        }
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut fetch = shell::command("mvn");
        fetch.current_dir(&folder).args([
            "-q",
            "-B",
            "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
        ]);
        fetch.arg(format!(
            "-Dartifact=org.keycloak:keycloak-quarkus-dist:{KEYCLOAK}:zip"
        ));
        fetch.arg(format!("-DoutputDirectory={}", folder.display()));
        shell::quietly(&mut fetch)?;
        let archive = folder.join(format!("keycloak-quarkus-dist-{KEYCLOAK}.zip"));
        shell::quietly(
            shell::command("unzip")
                .arg("-q")
                .arg(&archive)
                .arg("-d")
                .arg(&folder),
        )?;
        fs::remove_file(&archive).ok();
        let mut build = shell::command(home.join("bin/kc.sh"));
        build
            .env("JAVA_HOME", &java_home)
            .args(["build", "--db=dev-mem", "--features=cimd"]);
        shell::quietly(&mut build).map(drop)
    })?;
    Ok(Keycloak { home, java_home })
}

/// A Java that Keycloak supports: 25 or 21 where the machine has one, else 17.
fn java() -> Result<PathBuf> {
    if let Some(found) = newest_java() {
        return Ok(found);
    }
    apt("openjdk-17-jre-headless")?;
    newest_java().context("the package `openjdk-17-jre-headless` brought no Java")
}

fn newest_java() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/jvm")
        .ok()?
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let name = folder.file_name()?.to_str()?.to_owned();
            let version: u32 = name.split('-').find_map(|word| word.parse().ok())?;
            let supported = matches!(version, 17 | 21 | 25) && folder.join("bin/java").is_file();
            supported.then_some((version, folder))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, folder)| folder)
}

/// Does the work unless `marker` says that exactly this was done before.
fn once(marker: &Path, content: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    if shell::read(marker).is_ok_and(|done| done == content) {
        return Ok(());
    }
    work()?;
    shell::write(marker, content)
}

/// Installs one of Debian's packages; needs root.
pub(crate) fn apt(package: &str) -> Result<()> {
    let hint = || format!("hint: install the Debian package `{package}` and try again");
    if shell::quietly(shell::command("id").arg("-u"))?.trim() != "0" {
        bail!(
            "`{package}` is missing and only root can install it; {}",
            hint()
        );
    }
    println!("install: apt-get install {package}");
    let apt = |arguments: &[&str]| -> Result<String> {
        let mut command: Command = shell::command("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments);
        shell::quietly(&mut command).with_context(hint)
    };
    apt(&["update", "-qq"])?;
    apt(&["install", "-y", "-qq", "--no-install-recommends", package]).map(drop)
}
