//! The certificates of a control plane, as files.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

use super::Failure;

/// A folder of certificates and keys.
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes all that an API server at `address` and its clients need.
    pub fn make(folder: &Path, address: &str) -> Result<Certificates, Failure> {
        let made = Certificates {
            folder: folder.to_owned(),
        };
        let cluster = made.authority("ca", "kubernetes")?;
        let proxies = made.authority("front-proxy-ca", "front-proxy")?;
        let names = [
            "kubernetes.default.svc",
            "kubernetes",
            "localhost",
            "127.0.0.1",
            "10.96.0.1",
            address,
        ];
        made.sign(&cluster, "apiserver", &names, ("kube-apiserver", ""))?;
        made.sign(
            &proxies,
            "front-proxy-client",
            &[],
            ("front-proxy-client", ""),
        )?;
        made.sign(&cluster, "admin", &[], ("admin", "system:masters"))?;
        let manager = "system:kube-controller-manager";
        made.sign(&cluster, "manager", &[], (manager, ""))?;
        let accounts = KeyPair::generate()?;
        std::fs::write(made.path("accounts.key"), accounts.serialize_pem())?;
        std::fs::write(made.path("accounts.pub"), accounts.public_key_pem())?;
        Ok(made)
    }

    /// A file of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn authority(&self, file: &str, name: &str) -> Result<Issuer<'static, KeyPair>, Failure> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        std::fs::write(self.path(&format!("{file}.crt")), certificate.pem())?;
        Ok(Issuer::new(params, key))
    }

    /// A certificate for a server of these names and a client of this name and group.
    fn sign(
        &self,
        by: &Issuer<'_, KeyPair>,
        file: &str,
        names: &[&str],
        (name, group): (&str, &str),
    ) -> Result<(), Failure> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        if !group.is_empty() {
            let organization = DnType::OrganizationName;
            params.distinguished_name.push(organization, group);
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, by)?;
        std::fs::write(self.path(&format!("{file}.crt")), certificate.pem())?;
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }
}
