//! TLS from certificate files, which are read again when they change: a renewed certificate needs no restart.
//!
//! Connections that are open keep the certificate that they were opened with.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::settings::TlsFiles;
use crate::watched::Watched;

/// The certificate of a listener, as its files have it now.
#[derive(Debug)]
pub(super) struct Certificate {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that is missing or cannot be used.
    pub(super) fn read(files: &TlsFiles) -> Result<Arc<Self>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = ArcSwap::from_pointee(certified_key(files, &provider)?);
        Ok(Arc::new(Self { files: files.clone(), provider, current }))
    }

    /// What a listener accepts connections with: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
    ///
    /// # Errors
    /// When the cryptography cannot do TLS at all.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, String> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("set up TLS: {error}"))?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes over what the files hold whenever they change, for as long as the process lives. Files that cannot be used
    /// keep the old certificate; a key that comes a moment after its certificate is such a case, and the next look at
    /// the files finds both.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut watched = Watched::new([self.files.certificate.clone(), self.files.key.clone()]);
        loop {
            watched.changed().await;
            match certified_key(&self.files, &self.provider) {
                Ok(key) => {
                    self.current.store(Arc::new(key));
                    tracing::info!(file = %self.files.certificate.display(), "certificate read again");
                }
                Err(error) => tracing::warn!(error, "read the certificate again; the old one stays"),
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn certified_key(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let problem = |file: &Path, error: &dyn Display| format!("TLS: {}: {error}", file.display());
    let certificate = |error: &dyn Display| problem(&files.certificate, error);
    let chain = CertificateDer::pem_file_iter(&files.certificate).map_err(|error| certificate(&error))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|error| certificate(&error))?;
    if chain.is_empty() {
        return Err(certificate(&"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| problem(&files.key, &error))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => problem(&files.key, &"it is not the key of the certificate"),
        error => certificate(&error),
    })
}
