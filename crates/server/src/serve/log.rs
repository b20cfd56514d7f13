//! Logs: JSON lines or text on standard error, by `LOG_FORMAT` and `LOG_LEVEL`.
//!
//! A line that belongs to a request carries the request's span: its id, method, path, and the caller's trace.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::text;

/// Starts logging. JSON unless standard error is a terminal or `LOG_FORMAT` is `text`; text has colours on a terminal
/// only, and not with `NO_COLOR`.
pub(super) fn init() {
    let level = text("LOG_LEVEL", "info").to_lowercase();
    let known = level_of(&level);
    // The libraries below are heard from `warning` on; one of openraft's comes with every start, and means nothing.
    let libraries = known.filter(|level| *level == "error").unwrap_or("warn");
    let own = known.unwrap_or("info");
    let filter = EnvFilter::new(format!("{libraries},openraft::core::raft_core=error,azimuth={own}"));
    let terminal = std::io::stderr().is_terminal();
    let colours = terminal && text("NO_COLOR", "").is_empty();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let json = match text("LOG_FORMAT", "").as_str() {
        "text" => false,
        "json" => true,
        _ => !terminal,
    };
    if json {
        builder.json().flatten_event(true).with_span_list(false).init();
    } else {
        builder.init();
    }
    if known.is_none() {
        tracing::warn!(level_given = level, "LOG_LEVEL is none of trace, debug, info, warning, error; info is used");
    }
}

/// Our name of a level, by Weaviate's: the two worst ones end the process there, and are errors here.
fn level_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "trace" => "trace",
        "debug" => "debug",
        "info" => "info",
        "warn" | "warning" => "warn",
        "error" | "fatal" | "panic" => "error",
        _ => return None,
    })
}
