//! A stream of Arrow data into a catalog, batch by batch: what is held at once is the catalog, one batch of the
//! stream, and a piece of it in the core's terms.

use std::cell::RefCell;
use std::collections::VecDeque;

use arrow_array::{RecordBatch, RecordBatchReader};
use perso_core::catalog::{Bulk, Catalog, Upsert};
use perso_core::error::{Error, Result};
use perso_core::hnsw::Hook;
use perso_core::ids::Ids;
use perso_core::vectors::Numbers;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3_arrow::{PyRecordBatch, PyRecordBatchReader};

use crate::arrow::{self, Columns};
use crate::error::Outcome;

/// Rows of a piece at the most, and bytes of its vectors in single precision.
const PIECE_ROWS: usize = 65_536;
const PIECE_BYTES: usize = 16 << 20;

/// Batches of anything that hands over Arrow data. A stream is preferred: an object that offers an array as well may
/// be in several parts, which an array cannot be.
pub fn reader(table: &Bound<'_, PyAny>) -> Outcome<Box<dyn RecordBatchReader + Send>> {
    if table.hasattr(intern!(table.py(), "__arrow_c_stream__"))? {
        return Ok(table.extract::<PyRecordBatchReader>()?.into_reader()?);
    }
    let batch = table.extract::<PyRecordBatch>()?.into_inner();
    let schema = batch.schema();
    let batches = arrow_array::RecordBatchIterator::new([Ok(batch)], schema);
    Ok(Box::new(batches))
}

/// A stream being read.
pub struct Stream {
    batches: Box<dyn RecordBatchReader + Send>,
    columns: Columns,
    /// What is left of the batch that is being read, and where its first row lies in the stream.
    rest: Option<RecordBatch>,
    row: usize,
    /// Batches that come after it, read ahead.
    ahead: VecDeque<RecordBatch>,
    /// What a hook heard last.
    told: (usize, usize),
    /// Rows in all, as far as somebody knows.
    expected: usize,
}

impl Stream {
    pub fn new(
        batches: Box<dyn RecordBatchReader + Send>,
        columns: Columns,
        expected: Option<usize>,
    ) -> Self {
        Stream {
            batches,
            columns,
            rest: None,
            row: 0,
            ahead: VecDeque::new(),
            told: (0, 0),
            expected: expected.unwrap_or(0),
        }
    }

    /// Components of each space's vectors, by the schema or the first row; 0 where neither is there.
    pub fn dims(&mut self) -> Result<Vec<usize>> {
        self.fill()?;
        Ok(self.columns.dims(self.rest.as_ref()))
    }

    /// Reads on until there is a row.
    fn fill(&mut self) -> Result<()> {
        while self.rest.as_ref().is_none_or(|rest| rest.num_rows() == 0) {
            // Let go before the next one is made.
            self.rest = None;
            let next = match self.ahead.pop_front() {
                Some(batch) => Some(batch),
                None => self.batches.next().transpose().map_err(arrow::failed)?,
            };
            match next {
                Some(batch) => self.rest = Some(batch),
                None => break,
            }
        }
        Ok(())
    }

    /// The next rows, at most so many, and where the first of them lies.
    fn next(&mut self, most: usize) -> Result<Option<(usize, RecordBatch)>> {
        self.fill()?;
        let Some(rest) = self.rest.take() else {
            return Ok(None);
        };
        let dims: usize = self.columns.dims(Some(&rest)).iter().sum();
        let fit = (PIECE_BYTES / 4 / dims.max(1)).clamp(1, PIECE_ROWS);
        let rows = rest.num_rows().min(fit).min(most);
        self.rest = Some(rest.slice(rows, rest.num_rows() - rows));
        let at = self.row;
        self.row += rows;
        Ok(Some((at, rest.slice(0, rows))))
    }

    /// Reads ahead, until there are so many rows or no more.
    pub fn gather(&mut self, most: usize, hook: Hook<'_>) -> Result<()> {
        self.fill()?;
        let read = self.rest.iter().chain(&self.ahead);
        let mut rows: usize = read.map(RecordBatch::num_rows).sum();
        while rows < most {
            let Some(batch) = self.batches.next().transpose().map_err(arrow::failed)? else {
                break;
            };
            rows += batch.num_rows();
            self.ahead.push_back(batch);
            // Nothing was done since, but a slow source can be interrupted.
            if !hook(self.told.0, self.told.1) {
                return Err(Error::Interrupted);
            }
        }
        Ok(())
    }

    /// One change out of the next rows, at most so many. `None` when there are none any more.
    pub fn pour(
        &mut self,
        catalog: Catalog,
        most: usize,
        num_threads: i64,
        hook: Hook<'_>,
    ) -> Result<Option<Catalog>> {
        let before = self.row;
        let mut bulk = Bulk::new(catalog, &self.columns.space_names())?.starting_at(before);
        let weight = bulk.weight();
        while bulk.len() < most {
            let Some((at, batch)) = self.next(most - bulk.len())? else {
                break;
            };
            bulk.put(self.columns.piece(&batch, at)?)?;
            // Of a stream that does not say how long it is, one more row is always to come.
            let known = match self.expected >= self.row {
                true => weight * self.expected,
                false => weight * self.row + 1,
            };
            if !hook(weight * before + bulk.len(), known) {
                return Err(Error::Interrupted);
            }
        }
        if bulk.is_empty() {
            return Ok(None);
        }
        let read = weight * before + bulk.len();
        let ended = bulk.len() < most;
        let rows = if ended {
            self.row
        } else {
            self.row.max(self.expected)
        };
        let linking = |done: usize, _: usize| hook(read + done, weight * rows);
        let catalog = bulk.finish(num_threads, &linking)?;
        self.told = (weight * self.row, weight * rows);
        hook(self.told.0, self.told.1);
        Ok(Some(catalog))
    }

    /// One change out of the next rows, at most so many, as a log keeps it: all of it in memory, in single precision.
    /// `None` when there are none any more.
    pub fn change(&mut self, most: usize, hook: Hook<'_>) -> Result<Option<Upsert>> {
        let names = self.columns.space_names();
        let mut change: Option<Upsert> = None;
        let mut rows = 0;
        while rows < most {
            let Some((at, batch)) = self.next(most - rows)? else {
                break;
            };
            let piece = self.columns.piece(&batch, at)?;
            rows += piece.ids.len();
            let vectors = piece.vectors.into_iter().map(|numbers| match numbers {
                Numbers::F32(numbers) => numbers.into_owned(),
                Numbers::I8(numbers) => numbers.iter().map(|code| f32::from(*code)).collect(),
            });
            match &mut change {
                None => {
                    change = Some(Upsert {
                        ids: piece.ids,
                        vectors: names.iter().map(ToString::to_string).zip(vectors).collect(),
                        attributes: piece.attributes,
                    });
                }
                Some(change) => {
                    match (&mut change.ids, piece.ids) {
                        (Ids::Int(all), Ids::Int(more)) => all.extend(more),
                        (Ids::Str(all), Ids::Str(more)) => all.extend(more),
                        (all, more) => {
                            return Err(Error::wrong_type("id", all.kind(), more.kind()));
                        }
                    }
                    for ((_, all), more) in change.vectors.iter_mut().zip(vectors) {
                        all.extend(more);
                    }
                    let parts = change.attributes.iter_mut().zip(piece.attributes);
                    parts.for_each(|((_, _, all), (_, _, more))| all.extend(more));
                }
            }
            if !hook(self.told.0, self.told.1) {
                return Err(Error::Interrupted);
            }
        }
        Ok(change)
    }

    /// Whether the stream is at its end; reads on where it has to.
    pub fn is_done(&mut self) -> Result<bool> {
        self.fill()?;
        Ok(self.rest.is_none())
    }
}

thread_local! {
    /// The catalogs that streams read by this thread go into.
    static INTO: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// For as long as a stream goes into a catalog.
pub struct Into;

impl Into {
    pub fn catalog(place: usize) -> Self {
        INTO.with_borrow_mut(|into| into.push(place));
        Into
    }
}

impl Drop for Into {
    fn drop(&mut self) {
        INTO.with_borrow_mut(|into| into.pop());
    }
}

/// Refuses a change that a stream makes of the catalog it goes into: changes wait for each other, so it would wait
/// for itself.
pub fn not_into(place: usize) -> Result<()> {
    if INTO.with_borrow(|into| into.contains(&place)) {
        return Err(Error::invalid(
            "table",
            "a stream that does not change the catalog it goes into",
            "one that does",
        ));
    }
    Ok(())
}
