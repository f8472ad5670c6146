//! Client certificates by Go's five policies, and by the names that they may bear.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::names::alternative_names;
use super::settings::ClientAuth;

/// Judges by a policy.
#[derive(Debug)]
pub(crate) struct ByPolicy {
    policy: ClientAuth,
    /// By the CAs, where there are some.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// One of these must be among the certificate's names; empty is any.
    names: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ByPolicy {
    /// Under a policy that does not look at certificates, what the handshake proves is that the client holds the key.
    pub(crate) fn new(
        policy: ClientAuth,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
        names: Vec<String>,
        provider: &CryptoProvider,
    ) -> ByPolicy {
        ByPolicy {
            policy,
            verifier,
            names,
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for ByPolicy {
    fn offer_client_auth(&self) -> bool {
        self.policy != ClientAuth::None
    }

    fn client_auth_mandatory(&self) -> bool {
        matches!(
            self.policy,
            ClientAuth::RequireAny | ClientAuth::RequireAndVerify
        )
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match (&self.verifier, self.policy) {
            (Some(verifier), ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify) => {
                verifier.root_hint_subjects()
            }
            _ => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.policy {
            ClientAuth::None | ClientAuth::Request | ClientAuth::RequireAny => {}
            ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
                let Some(verifier) = &self.verifier else {
                    return Err(Error::General("there is no client CA".to_owned()));
                };
                verifier.verify_client_cert(end_entity, intermediates, now)?;
            }
        }
        if !self.names.is_empty() {
            let shown = alternative_names(end_entity);
            if !shown.iter().any(|name| self.names.contains(name)) {
                return Err(Error::General(format!(
                    "none of the certificate's names {shown:?} is one of client_allowed_sans"
                )));
            }
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
