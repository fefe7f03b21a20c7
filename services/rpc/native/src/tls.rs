//! TLS and mutual TLS: who a peer must prove to be, from PEM texts.

use std::sync::Arc;

use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate chain and its key, as PEM.
pub struct Identity {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl Identity {
    fn parsed(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| format!("the private key: {error}"))?;
        Ok((certificates(&self.certificate)?, key))
    }
}

/// What a server shows, and whom its clients must be vouched for by, if at all.
pub fn acceptor(identity: &Identity, client_roots: Option<&[u8]>) -> Result<TlsAcceptor, String> {
    let (chain, key) = identity.parsed()?;
    let settings = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(text)?;
    let settings = match client_roots {
        Some(pem) => {
            let roots = Arc::new(roots(pem)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(text)?;
            settings.with_client_cert_verifier(verifier)
        }
        None => settings.with_no_client_auth(),
    };
    let mut settings = settings.with_single_cert(chain, key).map_err(text)?;
    settings.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(settings)))
}

/// How a client checks its server, and shows who it is, if it is asked.
#[derive(Clone)]
pub struct Client {
    pub connector: TlsConnector,
    pub server: ServerName<'static>,
}

impl Client {
    pub fn new(server: &str, server_roots: &[u8], identity: Option<&Identity>) -> Result<Self, String> {
        let settings = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(text)?;
        let settings = settings.with_root_certificates(roots(server_roots)?);
        let mut settings = match identity {
            Some(identity) => {
                let (chain, key) = identity.parsed()?;
                settings.with_client_auth_cert(chain, key).map_err(text)?
            }
            None => settings.with_no_client_auth(),
        };
        settings.alpn_protocols = vec![b"h2".to_vec()];
        let server = ServerName::try_from(server.to_owned()).map_err(text)?;
        Ok(Client {
            connector: TlsConnector::from(Arc::new(settings)),
            server,
        })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match parsed {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("there is no certificate in the PEM text".to_owned()),
        Err(error) => Err(format!("a certificate: {error}")),
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(text)?;
    }
    Ok(store)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
