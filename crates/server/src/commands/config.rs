//! `sekisho config`: check, show, schema.

use anyhow::Context as _;

use crate::cli::{Config, DemoShape, Show};
use crate::config::convert::listener::hosts;
use crate::config::{self, Loaded};
use crate::wire::plan::Plan;
use crate::{demo, talk};

/// Runs `sekisho config …`.
pub(crate) fn run(command: Config) -> anyhow::Result<()> {
    match command {
        Config::Check(source) => {
            let plan = Plan::new(Loaded::read(source.path())?)?;
            for danger in &plan.dangers {
                talk::say(format_args!("warning: {}: {}", danger.path, danger.meaning));
            }
            for warning in &plan.warnings {
                talk::say(format_args!("warning: {warning}"));
            }
            for listener in &plan.loaded.config.listeners {
                if hosts(&plan.loaded.config, listener).is_empty() {
                    talk::say(format_args!(
                        "warning: the listener `{}` serves nothing: no URL of the configuration arrives there",
                        listener.name
                    ));
                }
            }
            talk::say(format_args!("{} is valid", plan.loaded.file()));
            Ok(())
        }
        Config::Show(show) => self::show(&show),
        Config::Schema => {
            let schema = serde_json::to_string_pretty(&config::schema())?;
            talk::data(&format!("{schema}\n"));
            Ok(())
        }
    }
}

fn show(show: &Show) -> anyhow::Result<()> {
    if show.demo {
        talk::data(&demo_settings(&show.shape)?.configuration());
        return Ok(());
    }
    let loaded = Loaded::read(show.source.path())?;
    talk::data(&serde_saphyr::to_string(&loaded.config)?);
    Ok(())
}

/// The demonstration that the command line asks for.
pub(crate) fn demo_settings(shape: &DemoShape) -> anyhow::Result<demo::Settings> {
    let port = if shape.tls { 8443 } else { 8480 };
    let data = shape
        .data
        .as_ref()
        .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    let made = if shape.tls {
        let home = match &data {
            Some(data) => data.clone(),
            None => demo::home(config::environment::variable).context(
                "there is no home directory to keep the local CA in; hint: say where with --data DIR",
            )?,
        };
        demo::Shape::Tls {
            domain: shape
                .domain
                .clone()
                .unwrap_or_else(|| demo::DOMAIN.to_owned()),
            home,
        }
    } else {
        demo::Shape::Plain {
            mcp_listen: shape.mcp_listen,
        }
    };
    Ok(demo::Settings {
        listen: shape
            .listen
            .unwrap_or_else(|| ([127, 0, 0, 1], port).into()),
        shape: made,
        data,
    })
}
