//! A statement that is planned once in the life of a process.

use std::cell::Cell;
use std::ffi::{CStr, CString};

use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::prelude::*;

/// A statement with its plan. Kept in a thread-local: a plan belongs to its process. Changed tables are no concern of ours:
/// Postgres plans anew when it must, by the names in the text.
pub struct Statement {
    text: CString,
    types: Box<[pg_sys::Oid]>,
    plan: Cell<pg_sys::SPIPlanPtr>,
}

/// An argument: its datum, or NULL.
pub type Argument = Option<pg_sys::Datum>;

/// A row of an answer, valid while the statement's answer is read.
pub struct Row {
    table: *mut pg_sys::SPITupleTable,
    at: usize,
}

impl Row {
    /// The column, counted from 1; `None` is NULL.
    pub fn get<T: FromDatum>(&self, column: i32) -> Option<T> {
        let mut null = false;
        // SAFETY: the table is the answer of the statement that is being read; a column that it does not have is NULL.
        unsafe {
            let tuple = *(*self.table).vals.add(self.at);
            let datum = pg_sys::SPI_getbinval(tuple, (*self.table).tupdesc, column, &mut null);
            T::from_datum(datum, null)
        }
    }

    /// The column as it is, copied to where the statement was called; `by_value` and `length` are those of its type.
    pub fn copied(&self, column: i32, by_value: bool, length: i16) -> Argument {
        let mut null = false;
        // SAFETY: as above; within SPI the copy is made in the memory of its caller.
        unsafe {
            let tuple = *(*self.table).vals.add(self.at);
            let datum = pg_sys::SPI_getbinval(tuple, (*self.table).tupdesc, column, &mut null);
            (!null).then(|| pg_sys::SPI_datumTransfer(datum, by_value, length.into()))
        }
    }
}

impl Statement {
    /// A statement whose parameters have these types. Its names must be qualified, or built in.
    pub fn new(text: &str, types: &[pg_sys::Oid]) -> Self {
        // A text of ours has no NUL in it.
        Statement {
            text: CString::new(text).unwrap_or_default(),
            types: types.into(),
            plan: Cell::new(std::ptr::null_mut()),
        }
    }

    /// Runs it as a statement of the caller's own, which sees all that was written before.
    pub fn run<R>(&self, arguments: &[Argument], read: impl FnMut(&Row) -> R) -> Vec<R> {
        self.execute(arguments, read, |plan, values, nulls| {
            // SAFETY: within SPI; as many values and nulls as the plan has parameters, each of its type.
            unsafe { pg_sys::SPI_execute_plan(plan, values, nulls, false, 0) }
        })
    }

    /// Plans and runs a statement once.
    pub fn once<R>(
        text: &str,
        types: &[pg_sys::Oid],
        arguments: &[Argument],
        read: impl FnMut(&Row) -> R,
    ) -> Vec<R> {
        let once = Statement::new(text, types);
        let rows = once.run(arguments, read);
        // SAFETY: the plan that was kept for this one run; nothing else knows it.
        unsafe { pg_sys::SPI_freeplan(once.plan.get()) };
        rows
    }

    /// Reads what is committed now, and what this transaction has written: in REPEATABLE READ, too.
    pub fn read_latest<R>(&self, arguments: &[Argument], read: impl FnMut(&Row) -> R) -> Vec<R> {
        self.execute(arguments, read, |plan, values, nulls| {
            // SAFETY: as above; the snapshot is registered as long as it is used.
            unsafe {
                let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
                let none = std::ptr::null_mut();
                let code = pg_sys::SPI_execute_snapshot(plan, values, nulls, snapshot, none, true, false, 0);
                pg_sys::UnregisterSnapshot(snapshot);
                code
            }
        })
    }

    fn execute<R>(
        &self,
        arguments: &[Argument],
        mut read: impl FnMut(&Row) -> R,
        run: impl FnOnce(pg_sys::SPIPlanPtr, *mut pg_sys::Datum, *const std::ffi::c_char) -> i32,
    ) -> Vec<R> {
        let mut values: Vec<pg_sys::Datum> =
            arguments.iter().map(|a| a.unwrap_or(pg_sys::Datum::from(0))).collect();
        let nulls: Vec<u8> = arguments.iter().map(|a| if a.is_some() { b' ' } else { b'n' }).collect();
        // SAFETY: SPI is opened and closed in pairs; an error in between ends the transaction, or the subtransaction, which
        // closes it too. What is read is copied before it is closed.
        unsafe {
            if pg_sys::SPI_connect() != pg_sys::SPI_OK_CONNECT as i32 {
                error!("image_gen: SPI cannot be opened");
            }
            let code = run(self.plan(), values.as_mut_ptr(), nulls.as_ptr().cast());
            if code < 0 {
                let text = self.text.to_string_lossy();
                error!("image_gen: SPI {code}: {text}");
            }
            let table = pg_sys::SPI_tuptable;
            let count = if table.is_null() { 0 } else { pg_sys::SPI_processed as usize };
            let rows = (0..count).map(|at| read(&Row { table, at })).collect();
            pg_sys::SPI_freetuptable(table);
            pg_sys::SPI_finish();
            rows
        }
    }

    /// Within SPI.
    fn plan(&self) -> pg_sys::SPIPlanPtr {
        if self.plan.get().is_null() {
            // SAFETY: a NUL-terminated text and its parameters' types; the plan is kept before it is remembered.
            unsafe {
                let types = self.types.as_ptr().cast_mut();
                let plan = pg_sys::SPI_prepare(self.text.as_ptr(), self.types.len() as i32, types);
                if plan.is_null() || pg_sys::SPI_keepplan(plan) != 0 {
                    let why = CStr::from_ptr(pg_sys::SPI_result_code_string(pg_sys::SPI_result));
                    error!("image_gen: SPI cannot prepare: {}", why.to_string_lossy());
                }
                self.plan.set(plan);
            }
        }
        self.plan.get()
    }
}

/// A value as an argument.
pub fn argument(value: impl IntoDatum) -> Argument {
    value.into_datum()
}

/// What an array is made of.
pub struct Element {
    oid: pg_sys::Oid,
    length: i16,
    by_value: bool,
    align: u8,
}

impl Element {
    pub const TEXT: Element = Element::varlena(pg_sys::TEXTOID);
    pub const JSONB: Element = Element::varlena(pg_sys::JSONBOID);
    pub const NUMERIC: Element = Element::varlena(pg_sys::NUMERICOID);
    pub const BYTEA: Element = Element::varlena(pg_sys::BYTEAOID);
    pub const BIGINT: Element = Element { oid: pg_sys::INT8OID, length: 8, by_value: true, align: b'd' };
    pub const TIMESTAMPTZ: Element = Element { oid: pg_sys::TIMESTAMPTZOID, ..Element::BIGINT };
    pub const INTEGER: Element = Element { oid: pg_sys::INT4OID, length: 4, by_value: true, align: b'i' };
    pub const BOOLEAN: Element = Element { oid: pg_sys::BOOLOID, length: 1, by_value: true, align: b'c' };

    /// A row's type.
    pub const fn composite(oid: pg_sys::Oid) -> Element {
        Element { align: b'd', ..Element::varlena(oid) }
    }

    const fn varlena(oid: pg_sys::Oid) -> Element {
        Element { oid, length: -1, by_value: false, align: b'i' }
    }

    /// An array of such elements. Built at once from ready datums: what `Vec` does element by element takes twice as long.
    pub fn array(&self, elements: impl IntoIterator<Item = Argument>) -> Argument {
        let elements: Vec<Argument> = elements.into_iter().collect();
        let mut nulls: Vec<bool> = elements.iter().map(Option::is_none).collect();
        let mut values: Vec<pg_sys::Datum> =
            elements.into_iter().map(|e| e.unwrap_or(pg_sys::Datum::from(0))).collect();
        let (mut size, mut from) = (values.len() as i32, 1);
        // SAFETY: as many values and nulls as is said, each of the type that is described; one dimension, counted from 1.
        let array = unsafe {
            pg_sys::construct_md_array(
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
                1,
                &mut size,
                &mut from,
                self.oid,
                self.length.into(),
                self.by_value,
                self.align as std::ffi::c_char,
            )
        };
        Some(pg_sys::Datum::from(array))
    }
}

/// What a type makes of a text, as a cast does: an error of its own where it is none.
type Input = unsafe fn(pg_sys::FunctionCallInfo) -> pg_sys::Datum;

/// A text as a value of a type, by the type's input function.
pub fn input(function: Input, text: &str) -> Argument {
    // A NUL ends it, as it ends every text of PostgreSQL.
    let text = CString::new(text).or_else(|e| CString::new(&text[..e.nul_position()])).unwrap_or_default();
    let arguments =
        [Some(text.as_ptr().into()), Some(pg_sys::Datum::from(0)), Some(pg_sys::Datum::from(-1_i32))];
    // SAFETY: an input function takes a C string, an element type, which none of ours looks at, and a modifier, -1 for none.
    unsafe { pgrx::fcinfo::direct_function_call_as_datum(function, &arguments) }
}

/// Texts that are made into values one after the other: a text like the last one is not read again.
pub struct Inputs {
    function: Input,
    last: Option<(String, Argument)>,
}

impl Inputs {
    pub fn new(function: Input) -> Self {
        Inputs { function, last: None }
    }

    pub fn value(&mut self, text: String) -> Argument {
        match &self.last {
            Some((last, value)) if *last == text => *value,
            _ => {
                let value = input(self.function, &text);
                self.last = Some((text, value));
                value
            }
        }
    }
}
