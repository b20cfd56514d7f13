//! The options that say which server is meant, the same for every subcommand.

use std::path::PathBuf;
use std::time::Duration;

use azimuth_client::{Client, RetryPolicy};
use tokio::runtime::Runtime;

/// The server to talk to.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConnectArgs {
    /// Address of the server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", env = "AZIMUTH_URL")]
    url: String,
    /// Address of its gRPC port, if that is not the same.
    #[arg(long, value_name = "URL", env = "AZIMUTH_GRPC_URL")]
    grpc: Option<String>,
    /// Key to identify with.
    #[arg(long, value_name = "KEY", env = "AZIMUTH_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// PEM file of a certificate authority to trust beside those of the system.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

impl ConnectArgs {
    /// A client of the server, which works inside `runtime`.
    ///
    /// # Errors
    /// A sentence that says which option cannot be used.
    pub(super) fn client(&self, runtime: &Runtime, retry: RetryPolicy, timeout: Duration) -> Result<Client, String> {
        let mut builder = Client::builder(with_scheme(&self.url)).retry(retry).timeout(timeout);
        if let Some(grpc) = &self.grpc {
            builder = builder.grpc_url(with_scheme(grpc));
        }
        if let Some(key) = &self.api_key {
            builder = builder.api_key(key);
        }
        if let Some(path) = &self.certificate {
            let pem = std::fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()))?;
            builder = builder.certificate_pem(pem);
        }
        let _inside = runtime.enter();
        builder.build().map_err(|error| error.to_string())
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// `host:port` means plain HTTP.
fn with_scheme(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}

/// What clients run in.
///
/// # Errors
/// A sentence, when the system gives no threads.
pub(super) fn runtime() -> Result<Runtime, String> {
    Runtime::new().map_err(|error| format!("starting the runtime: {error}"))
}
