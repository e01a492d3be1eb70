//! What the triggers of attached tables collect, until the end of the statement.
//!
//! Row triggers, and no transition tables: those are not seen by a statement on a partition, and cost a statement that changes
//! nothing of interest a copy of each row. A row trigger's condition is looked at without a call.

use std::cell::RefCell;
use std::ffi::{CStr, c_void};

use pgrx::prelude::*;

use super::place;
use crate::acting::act_as_extension;
use crate::errors::{Code, fail};

/// So many rows are queued at once: what is collected takes no more memory than that.
pub const MOST: usize = 1000;

/// A row of an attached table, or of a partition of it.
pub struct Collected {
    pub attachment: i64,
    /// Where it was written.
    pub relation: pg_sys::Oid,
    /// The row as a value of its composite type.
    words: Box<[u64]>,
    /// The subtransaction that wrote it.
    by: pg_sys::SubTransactionId,
}

impl Collected {
    /// The row as a datum, valid as long as this.
    pub fn datum(&self) -> pg_sys::Datum {
        pg_sys::Datum::from(self.words.as_ptr())
    }

    /// Copies a composite value.
    ///
    /// # Safety
    /// The datum is a composite value without parts elsewhere.
    pub unsafe fn new(attachment: i64, relation: pg_sys::Oid, datum: pg_sys::Datum) -> Self {
        // SAFETY: as the caller promises; as many bytes as the value says.
        unsafe {
            let value = datum.cast_mut_ptr::<pg_sys::varlena>();
            let size = pgrx::varsize_any(value);
            let mut words = vec![0_u64; size.div_ceil(8)].into_boxed_slice();
            std::ptr::copy_nonoverlapping(value.cast::<u8>(), words.as_mut_ptr().cast::<u8>(), size);
            Collected { attachment, relation, words, by: pg_sys::GetCurrentSubTransactionId() }
        }
    }
}

thread_local! {
    static ROWS: RefCell<Vec<Collected>> = const { RefCell::new(vec![]) };
}

/// Registers what happens at the ends of transactions, once in the life of a process.
pub fn register() {
    // SAFETY: static functions, never unregistered.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction_end), std::ptr::null_mut());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::*;
    if ROWS.with_borrow(Vec::is_empty) {
        return;
    }
    match event {
        // A statement on a partition does not fire the triggers of the table for statements.
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE => {
            // SAFETY: in a transaction, before anything of it is closed; the snapshot is popped again.
            unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
            flush();
            // SAFETY: pairs with the above.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
        XACT_EVENT_ABORT | XACT_EVENT_PARALLEL_ABORT => ROWS.with_borrow_mut(Vec::clear),
        _ => {}
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_subtransaction_end(
    event: pg_sys::SubXactEvent::Type,
    this: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _arg: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        // Its own and its children's: numbers grow.
        ROWS.with_borrow_mut(|rows| rows.retain(|row| row.by < this));
    }
}

/// The trigger that a call is for.
///
/// # Safety
/// A call by the function manager.
unsafe fn trigger<'a>(call: pg_sys::FunctionCallInfo) -> &'a pg_sys::TriggerData {
    // SAFETY: as the trigger manager calls; else it is said.
    unsafe {
        let context = (*call).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
            fail(Code::NotSupported, "this function is a trigger", "Call image_gen.attach().");
        }
        &*context.cast::<pg_sys::TriggerData>()
    }
}

finfo!(pg_finfo_image_gen_attached_row);
finfo!(pg_finfo_image_gen_attached_statement);

/// # Safety
/// Called by PostgreSQL, as a trigger for each row.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn image_gen_attached_row(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the data of a trigger, and its tuples, live as long as the call.
    unsafe {
        let data = trigger(call);
        let event = data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK;
        let tuple = if event == pg_sys::TRIGGER_EVENT_UPDATE { data.tg_newtuple } else { data.tg_trigtuple };
        let definition = &*data.tg_trigger;
        let number = (definition.tgnargs == 1).then(|| CStr::from_ptr(*definition.tgargs));
        let number = number.and_then(|number| number.to_str().ok()?.parse::<i64>().ok());
        let Some(attachment) = number.filter(|_| !tuple.is_null()) else {
            fail(
                Code::Argument,
                "a trigger of an attachment has its number, and is for rows",
                "Call image_gen.attach().",
            );
        };
        let relation = &*data.tg_relation;
        let datum = pg_sys::heap_copy_tuple_as_datum(tuple, relation.rd_att);
        let row = Collected::new(attachment, relation.rd_id, datum);
        pg_sys::pfree(datum.cast_mut_ptr());
        let full = ROWS.with_borrow_mut(|rows| {
            rows.push(row);
            rows.len() >= MOST
        });
        if full {
            flush();
        }
    }
    pg_sys::Datum::from(0)
}

/// # Safety
/// Called by PostgreSQL, as a trigger for each statement.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn image_gen_attached_statement(
    call: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: as above.
    unsafe { trigger(call) };
    if !ROWS.with_borrow(Vec::is_empty) {
        flush();
    }
    pg_sys::Datum::from(0)
}

/// Queues what is collected.
fn flush() {
    let rows = ROWS.take();
    act_as_extension(|| {
        // In their order, those of one table together.
        let mut rest = rows.as_slice();
        while let Some(first) = rest.first() {
            let same =
                |row: &&Collected| (row.attachment, row.relation) == (first.attachment, first.relation);
            let (group, others) = rest.split_at(rest.iter().take_while(same).count());
            place::place(group, false);
            rest = others;
        }
    });
}
