//! Logs: JSON lines or text on standard error, by `LOG_FORMAT` and `LOG_LEVEL`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::text;

/// Starts logging. JSON unless standard error is a terminal or `LOG_FORMAT` says `text`.
pub(super) fn init() {
    let level = text("LOG_LEVEL", "info");
    let filter =
        EnvFilter::try_new(format!("{level},openraft=warn")).unwrap_or_else(|_| EnvFilter::new("info,openraft=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let json = match text("LOG_FORMAT", "").as_str() {
        "text" => false,
        "json" => true,
        _ => !std::io::stderr().is_terminal(),
    };
    if json { builder.json().init() } else { builder.init() }
}
