//! XDP stays on every interface that is to have it.

use std::convert::Infallible;
use std::sync::Arc;

use rtnetlink::MulticastGroup;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::admin::control::Control;
use crate::limits;
use crate::netlink::{self, WatchError};

/// Attaches it again where it was lost, for as long as the process runs.
pub(super) async fn keep(control: Arc<Control>) {
    if !control.config().steering.mode.has_xdp() {
        return;
    }
    loop {
        let Err(error) = follow(&control).await;
        tracing::warn!(%error, "the interfaces are not followed: trying again");
        sleep(limits::XDP_CHECK).await;
    }
}

async fn follow(control: &Control) -> Result<Infallible, WatchError> {
    let mut tasks = JoinSet::new();
    let changed = netlink::watch(&mut tasks, &[MulticastGroup::Link])?;
    let (connection, handle, _messages) = rtnetlink::new_connection()?;
    tasks.spawn(connection);
    loop {
        match netlink::links(&handle).await {
            Ok(devices) => {
                // Gone once the process has detached it.
                if let Some(steering) = control.steering().as_mut() {
                    steering.restore(control.config(), &devices);
                }
            }
            Err(error) => tracing::warn!(%error, "netlink does not list the interfaces"),
        }
        tokio::select! {
            _ = timeout(limits::XDP_CHECK, changed.notified()) => {}
            _ = tasks.join_next() => return Err(WatchError::Closed),
        }
        sleep(limits::NEXT_HOP_DEBOUNCE).await;
    }
}
