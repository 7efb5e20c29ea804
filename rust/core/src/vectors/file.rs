//! A space's sections in a file.

use super::sample::Sampled;
use super::{Layout, Spec, Vectors};
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::format::{Reader, Writer};
use crate::hnsw::{Graph, Taught};
use crate::ids::IdMap;
use crate::local::LocalCodes;
use crate::metric::Dtype;
use crate::store::{Data, VectorStore};

/// Neighbour codes, and what they are relative to.
const LOCAL: &str = "local";
const LOCAL_MEAN: &str = "local_mean";

/// What a sample of the rows told; files of earlier releases have none.
const SAMPLED: &str = "sampled";

/// Where the taught links of each row begin, and the links; both or neither.
const TAUGHT_STARTS: &str = "taught_starts";
const TAUGHT: &str = "taught";

/// Rows that wait for a repair, and rows inserted since the last look at all; files before version 3 have none.
const DUE: &str = "due";

/// The finer copy's sections are named like those of the vectors, after this.
const FINER: &str = "fine_";

impl Vectors {
    /// Adds the space's sections to a file, under a prefix.
    pub fn write<'a>(&'a self, prefix: &str, writer: &mut Writer<'a>) {
        write_store(&self.store, prefix, writer);
        if let Some(finer) = &self.finer {
            write_store(finer, &format!("{prefix}{FINER}"), writer);
        }
        if let Some(graph) = &self.graph {
            let (base, levels, upper, entry) = graph.parts();
            writer.add_pieces(format!("{prefix}links"), base.pages());
            writer.add(format!("{prefix}levels"), levels);
            writer.add_pieces(format!("{prefix}upper"), upper.pages());
            writer.add_owned(format!("{prefix}entry"), &[entry]);
            writer.add_owned(format!("{prefix}{DUE}"), &graph.due());
            if let Some(sampled) = self.sampled {
                writer.add_owned(format!("{prefix}{SAMPLED}"), &sampled.to_words());
            }
            if !graph.taught().is_empty() {
                let (starts, links) = graph.taught().parts();
                writer.add(format!("{prefix}{TAUGHT_STARTS}"), starts);
                writer.add(format!("{prefix}{TAUGHT}"), links);
            }
            if let Some(local) = &self.local {
                let (codes, mean) = local.parts();
                writer.add_pieces(format!("{prefix}{LOCAL}"), codes.pages());
                writer.add(format!("{prefix}{LOCAL_MEAN}"), mean);
            }
        }
    }

    /// Reads a space back from a file, some rows of which hold no item any more.
    pub fn read(spec: Spec, prefix: &str, ids: &IdMap, reader: &mut Reader<'_>) -> Result<Self> {
        spec.check()
            .map_err(|error| Error::format(format!("the file's description: {error}")))?;
        let store = read_store(&spec, spec.dtype, prefix, reader)?;
        let finer = spec
            .rescore
            .map(|rescore| read_store(&spec, rescore.dtype(), &format!("{prefix}{FINER}"), reader))
            .transpose()?;
        if let Some(finer) = finer.as_ref().filter(|finer| finer.len() != store.len()) {
            return Err(Error::format(format!(
                "a finer copy of {} rows lies beside {} vectors",
                finer.len(),
                store.len()
            )));
        }
        if store.len() != ids.rows_len() {
            return Err(Error::format(format!(
                "{} vectors lie beside {} ids",
                store.len(),
                ids.rows_len()
            )));
        }
        let mut graph = read_graph(&spec, store.len(), prefix, reader)?;
        if let Some(graph) = &mut graph {
            let mut gone = RowSet::full(ids.rows_len());
            gone.subtract(ids.live());
            let name = format!("{prefix}{DUE}");
            let due = match reader.has(&name) {
                true => reader.owned::<u32>(&name)?,
                false => vec![gone.len() as u32, 0],
            };
            let due = <[u32; 2]>::try_from(due)
                .map_err(|_| Error::format("what a graph is due are two numbers"))?;
            graph.set_due(gone, due);
        }
        let local = match &graph {
            Some(graph) => read_local(&spec, &store, graph, prefix, reader)?,
            None => None,
        };
        let sampled = match &graph {
            Some(_) if reader.has(&format!("{prefix}{SAMPLED}")) => {
                let words = reader.owned::<u32>(&format!("{prefix}{SAMPLED}"))?;
                Some(Sampled::from_words(&words)?)
            }
            _ => None,
        };
        let mut vectors = Vectors {
            store,
            finer,
            graph,
            local,
            order: None,
            tuned: None,
            sampled,
            spec,
        };
        vectors.order_by_norm();
        Ok(vectors)
    }
}

fn write_store<'a>(store: &'a VectorStore, prefix: &str, writer: &mut Writer<'a>) {
    match store.data() {
        Data::F32(x) => writer.add(format!("{prefix}vectors"), x),
        Data::F16(x) => writer.add(format!("{prefix}vectors"), x),
        Data::I8 { codes, scales } => {
            writer.add(format!("{prefix}vectors"), codes);
            writer.add(format!("{prefix}scales"), scales);
        }
    }
    writer.add(format!("{prefix}norms"), store.norms());
}

fn read_store(
    spec: &Spec,
    dtype: Dtype,
    prefix: &str,
    reader: &mut Reader<'_>,
) -> Result<VectorStore> {
    let name = |part: &str| format!("{prefix}{part}");
    let data = match dtype {
        Dtype::F32 => Data::F32(reader.section(&name("vectors"))?),
        Dtype::F16 => Data::F16(reader.section(&name("vectors"))?),
        Dtype::I8 => Data::I8 {
            codes: reader.section(&name("vectors"))?,
            scales: reader.section(&name("scales"))?,
        },
    };
    let norms = reader.section(&name("norms"))?;
    VectorStore::from_parts(spec.dim, spec.metric, data, norms)
}

fn read_local(
    spec: &Spec,
    store: &VectorStore,
    graph: &Graph,
    prefix: &str,
    reader: &mut Reader<'_>,
) -> Result<Option<LocalCodes>> {
    let name = |part: &str| format!("{prefix}{part}");
    match (spec.layout, reader.has(&name(LOCAL))) {
        (Layout::Local | Layout::Auto, true) => {
            let codes = reader.section(&name(LOCAL))?;
            let mean = reader.owned(&name(LOCAL_MEAN))?;
            LocalCodes::from_parts(store, graph, codes, mean).map(Some)
        }
        (Layout::Auto | Layout::Compact, false) => Ok(None),
        (layout, _) => Err(Error::format(format!(
            "neighbour codes and layout {:?} do not go together",
            layout.as_str()
        ))),
    }
}

fn read_graph(
    spec: &Spec,
    rows: usize,
    prefix: &str,
    reader: &mut Reader<'_>,
) -> Result<Option<Graph>> {
    let name = |part: &str| format!("{prefix}{part}");
    if !reader.has(&name("links")) {
        return Ok(None);
    }
    if spec.layout == Layout::Exact {
        return Err(Error::format(
            "a graph lies beside vectors that are to have none",
        ));
    }
    let base = reader.section(&name("links"))?;
    let levels = reader.section(&name("levels"))?;
    let upper = reader.section(&name("upper"))?;
    let entry = reader.owned::<u32>(&name("entry"))?;
    let [entry] = entry[..] else {
        return Err(Error::format("a graph has one entry row, or is damaged"));
    };
    let mut graph = Graph::from_parts(spec.params(), base, levels, upper, entry)?;
    if graph.len() != rows {
        return Err(Error::format(format!(
            "a graph of {} rows lies beside {rows} vectors",
            graph.len(),
        )));
    }
    let (starts, links) = (name(TAUGHT_STARTS), name(TAUGHT));
    if reader.has(&starts) || reader.has(&links) {
        let (starts, links) = (reader.section(&starts)?, reader.section(&links)?);
        graph.swap_taught(Taught::from_parts(rows, starts, links)?);
    }
    Ok(Some(graph))
}
