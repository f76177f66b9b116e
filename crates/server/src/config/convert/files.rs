//! Files that the configuration names: whether they can be read is found out with everything else.

use std::path::Path;

use crate::config::Loaded;
use crate::config::problem::Problems;
use crate::files;

/// Notes every file of certificates that can't be read.
pub(crate) fn check(loaded: &Loaded, problems: &mut Problems<'_>) {
    let mut readable = |named: &Path, path: String| {
        if let Err(error) = files::read_text(&loaded.path(named)) {
            problems.note(path, error.to_string(), None);
        }
    };
    for (index, listener) in loaded.config.listeners.iter().enumerate() {
        let Some(tls) = &listener.tls else { continue };
        let named = [
            ("certificate_file", &tls.certificate_file),
            ("key_file", &tls.key_file),
            ("client_ca_file", &tls.client_ca_file),
        ];
        for (key, file) in named {
            if let Some(file) = file {
                readable(file, format!("listeners[{index}].tls.{key}"));
            }
        }
    }
    for (index, file) in loaded.config.egress.extra_ca_files.iter().enumerate() {
        readable(file, format!("egress.extra_ca_files[{index}]"));
    }
}
