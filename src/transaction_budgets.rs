//! Budgets in this transaction: which it has locked, and what it has reserved in each.
//!
//! A session that queues many jobs in a transaction locks each budget once (a lock with a limit to its waiting takes a
//! subtransaction) and writes its totals once, before COMMIT: each version of a row makes the next look at it slower until the
//! transaction ends.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;

use pgrx::fcinfo::direct_function_call_as_datum;
use pgrx::prelude::*;

use crate::acting::act_as_extension;
use crate::statement::{Element, Statement, argument};

/// What was reserved by one of the nested transactions. Sums are values of numeric in memory of the whole transaction.
struct Level {
    of: pg_sys::SubTransactionId,
    reserved: BTreeMap<i64, pg_sys::Datum>,
}

#[derive(Default)]
struct Budgets {
    locked: BTreeSet<i64>,
    /// The innermost last.
    levels: Vec<Level>,
}

impl Budgets {
    fn reserve(&mut self, budget: i64, amount: pg_sys::Datum) {
        // SAFETY: in a transaction.
        let of = unsafe { pg_sys::GetCurrentSubTransactionId() };
        if self.levels.last().is_none_or(|level| level.of != of) {
            self.levels.push(Level { of, reserved: BTreeMap::new() });
        }
        if let Some(level) = self.levels.last_mut() {
            level.add(budget, amount);
        }
    }

    fn of(&self, budget: i64) -> Option<pg_sys::Datum> {
        self.levels.iter().filter_map(|level| level.reserved.get(&budget).copied()).reduce(sum)
    }
}

impl Level {
    fn add(&mut self, budget: i64, amount: pg_sys::Datum) {
        let amount = self.reserved.get(&budget).map_or(amount, |before| sum(*before, amount));
        // SAFETY: a value of numeric, copied to where it lives as long as what is kept of it.
        let kept = unsafe {
            let before = pg_sys::MemoryContextSwitchTo(pg_sys::TopTransactionContext);
            let kept = pg_sys::pg_detoast_datum_copy(amount.cast_mut_ptr());
            pg_sys::MemoryContextSwitchTo(before);
            pg_sys::Datum::from(kept)
        };
        self.reserved.insert(budget, kept);
    }
}

fn sum(one: pg_sys::Datum, other: pg_sys::Datum) -> pg_sys::Datum {
    // SAFETY: two values of numeric; their sum is one, in the memory of the caller.
    let sum = unsafe { direct_function_call_as_datum(pg_sys::numeric_add, &[Some(one), Some(other)]) };
    sum.unwrap_or(one)
}

thread_local! {
    static BUDGETS: RefCell<Budgets> = RefCell::default();
}

/// Registers the callbacks, once in the life of a process.
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
    match event {
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE => post(),
        XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE => {
            BUDGETS.take();
        }
        _ => {}
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_subtransaction_end(
    event: pg_sys::SubXactEvent::Type,
    own: pg_sys::SubTransactionId,
    parent: pg_sys::SubTransactionId,
    _arg: *mut c_void,
) {
    use pg_sys::SubXactEvent::*;
    BUDGETS.with_borrow_mut(|budgets| match event {
        SUBXACT_EVENT_ABORT_SUB => {
            // A lock ends with what took it. Which one that was is not kept: all are taken again.
            budgets.locked.clear();
            // Its own and its children's: numbers grow.
            budgets.levels.retain(|level| level.of < own);
        }
        SUBXACT_EVENT_COMMIT_SUB => {
            if let Some(mut level) = budgets.levels.pop_if(|level| level.of == own) {
                match budgets.levels.last_mut().filter(|outer| outer.of == parent) {
                    Some(outer) => {
                        level.reserved.into_iter().for_each(|(budget, amount)| outer.add(budget, amount));
                    }
                    None => {
                        level.of = parent;
                        budgets.levels.push(level);
                    }
                }
            }
        }
        _ => {}
    });
}

/// Writes what is reserved into the totals. All nested transactions have ended.
fn post() {
    thread_local! {
        static POST: Statement = Statement::new(
            "UPDATE image_gen_internal.budget_totals t SET reserved = t.reserved OPERATOR(pg_catalog.+) r.amount
               FROM unnest($1, $2) AS r(budget_id, amount) WHERE t.budget_id OPERATOR(pg_catalog.=) r.budget_id",
            &[pg_sys::INT8ARRAYOID, pg_sys::NUMERICARRAYOID],
        );
    }
    let levels = BUDGETS.with_borrow_mut(|budgets| std::mem::take(&mut budgets.levels));
    let reserved: Vec<(i64, pg_sys::Datum)> = levels.into_iter().flat_map(|level| level.reserved).collect();
    if reserved.is_empty() {
        return;
    }
    // SAFETY: in a transaction that goes on; statements want a snapshot, and that of the last one is gone.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    // The extension may have been dropped since.
    act_as_extension(|| {
        let budgets = Element::BIGINT.array(reserved.iter().map(|(budget, _)| argument(*budget)));
        let amounts = Element::NUMERIC.array(reserved.iter().map(|(_, amount)| Some(*amount)));
        POST.with(|s| s.run(&[budgets, amounts], |_| ()));
    });
    // SAFETY: the one that was pushed above.
    unsafe { pg_sys::PopActiveSnapshot() };
}

/// Remembers that this transaction has locked the totals of budgets.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
fn hold_budgets(locked: Vec<Option<i64>>) {
    BUDGETS.with_borrow_mut(|budgets| budgets.locked.extend(locked.into_iter().flatten()));
}

/// True when this transaction has locked the totals of all these budgets.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
fn holds_budgets(wanted: Vec<Option<i64>>) -> bool {
    BUDGETS.with_borrow(|budgets| wanted.iter().flatten().all(|budget| budgets.locked.contains(budget)))
}

/// Reserves amounts in budgets whose totals this transaction has locked: they are written there before COMMIT.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
fn add_reserved(into: Vec<i64>, amounts: Vec<AnyNumeric>) {
    let added = into.into_iter().zip(amounts);
    BUDGETS.with_borrow_mut(|budgets| {
        added.for_each(|(budget, amount)| {
            if let Some(amount) = amount.into_datum() {
                budgets.reserve(budget, amount);
            }
        });
    });
}

/// What this transaction has reserved in a budget and not yet written into its totals; NULL for nothing.
#[pg_extern(schema = "image_gen_internal", stable, parallel_unsafe)]
fn unwritten_reserved(budget: i64) -> Option<AnyNumeric> {
    let sum = BUDGETS.with_borrow(|budgets| budgets.of(budget))?;
    // SAFETY: a value of numeric.
    unsafe { AnyNumeric::from_datum(sum, false) }
}
