//! Keys and signatures: Ed25519 (RFC 8032).
//!
//! Signatures are checked strictly: no other bytes than those that were made are taken for one, and keys of small order,
//! under which anything could be signed, are refused.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::rank::policy::hex;

/// Bytes of a key, private or public.
pub const KEY_BYTES: usize = 32;
/// Bytes of what names a key.
pub(super) const ID_BYTES: usize = 8;
/// Bytes of a signature.
pub(super) const SIGNATURE_BYTES: usize = 64;

/// What signs: a secret.
pub struct PrivateKey(SigningKey);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// From 32 random bytes.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        Ok(PrivateKey(SigningKey::from_bytes(&whole("key", bytes)?)))
    }

    /// What signatures with it are checked with.
    pub fn public(&self) -> PublicKey {
        PublicKey::of(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).to_bytes()
    }
}

/// What signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    id: [u8; ID_BYTES],
}

impl PublicKey {
    /// From its 32 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let key = VerifyingKey::from_bytes(&whole("public_key", bytes)?);
        match key {
            Ok(key) if !key.is_weak() => Ok(PublicKey::of(key)),
            _ => Err(Error::invalid(
                "public_key",
                "an Ed25519 public key",
                "32 bytes that are none, or one of small order",
            )),
        }
    }

    fn of(key: VerifyingKey) -> Self {
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&Sha256::digest(key.as_bytes())[..ID_BYTES]);
        PublicKey { key, id }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; KEY_BYTES] {
        self.key.to_bytes()
    }

    /// What names it in a capsule: the first 8 bytes of its SHA-256, in hex.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    pub(super) fn id_bytes(&self) -> &[u8; ID_BYTES] {
        &self.id
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.key.verify_strict(message, &signature).is_ok()
    }
}

fn whole(argument: &str, bytes: &[u8]) -> Result<[u8; KEY_BYTES]> {
    bytes.try_into().map_err(|_| {
        // Never the bytes themselves: they may be a secret.
        let got = format!("{} bytes", bytes.len());
        Error::invalid(argument, format!("{KEY_BYTES} bytes"), got)
    })
}
