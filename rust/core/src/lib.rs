//! The engine of `perso_core`: quantised vector stores, exact and graph retrieval, the catalog, and
//! the ranking loop with exact propensities. It knows nothing of Python or C.
//!
//! Imports run one way: `rank` sees candidates through [`rank::Source`] only and never a graph;
//! nothing here names an instruction set, that is the business of `perso-kernels`.
// Five files hold all there is of it: the map of a file (`format/map`), memory that versions share
// (`store/{region,buf,paged}`), and what the FlatBuffers compiler writes (`capsule/generated`).
#![deny(unsafe_code)]

mod batch;
pub mod capsule;
pub mod catalog;
pub mod column;
pub mod durable;
pub mod eligible;
pub mod error;
pub mod exact;
pub mod filter;
pub mod foreign;
pub mod format;
pub mod hnsw;
pub mod idfile;
pub mod ids;
pub mod index;
pub mod live;
pub mod local;
pub mod metric;
pub mod mips;
pub mod plain;
pub mod price;
pub mod profile;
pub mod rank;
pub mod route;
pub mod scored;
pub mod select;
mod sort;
pub mod store;
pub mod threads;
pub mod vectors;
