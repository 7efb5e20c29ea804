//! What the fuzz targets share: inputs that get past checksums, mutations that keep them meaningful,
//! and the checks that whatever was accepted has to pass.

pub mod answers;
pub mod capsule;
pub mod container;
pub mod documents;
pub mod files;
pub mod foreign;
pub mod json;
pub mod log;
pub mod memory;
pub mod mutate;
pub mod profile;
pub mod repair;
pub mod world;
