//! What stands in for libvirt in a build without it (`--no-default-features`): opening it fails with
//! a word on what to do, and what only an open libvirt could give are types without values.

// The items are those of `super::libvirt`, and are described there.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::carrying::Carrying;
use super::connection::{HostOptions, Versions};
use super::domain::DomainSpec;
use super::domain_file::Machine;
use super::guest::{Counters, GuestSockets, SavedGuest, Started};
use super::life::GuestEnd;
use super::marker::Marker;
use super::network::ServePlace;
use super::probe::{Accel, KvmFacts};
use crate::distro::Arch;
use crate::error::{Kind, fail};
use crate::machine::Network;

/// A type without values, which others do not see to be one: code that uses it compiles as ever.
#[derive(Debug, Clone, Copy)]
enum Never {}

pub fn prepare_environment() {}

pub fn can_run_guests() -> anyhow::Result<()> {
    fail!(
        Kind::Host,
        "this ozr was built without libvirt and runs no guests: install ozr's package, or build it with the default features"
    );
}

#[derive(Debug, Clone, Copy)]
pub struct Host(Never);

impl Host {
    pub fn open(_options: &HostOptions) -> anyhow::Result<Host> {
        can_run_guests().map(|()| unreachable!("there are no guests without libvirt"))
    }

    pub fn uri(&self) -> String {
        match self.0 {}
    }

    pub fn users(&self) -> Vec<u32> {
        match self.0 {}
    }

    pub fn is_local(&self) -> bool {
        match self.0 {}
    }

    pub fn storage(&self) -> anyhow::Result<Option<PathBuf>> {
        match self.0 {}
    }

    pub fn send_files(&self, _spec: &DomainSpec, _carrying: &Carrying) -> anyhow::Result<()> {
        match self.0 {}
    }

    pub fn fetch_disks(&self, _spec: &DomainSpec, _carrying: &Carrying) -> anyhow::Result<()> {
        match self.0 {}
    }

    pub fn memory_here(&self, _spec: &DomainSpec) -> u64 {
        match self.0 {}
    }

    pub fn keep_files(&self) {
        match self.0 {}
    }

    pub fn survival(&self) -> Option<Arc<AtomicBool>> {
        match self.0 {}
    }

    pub fn versions(&self) -> anyhow::Result<Versions> {
        match self.0 {}
    }

    pub fn fingerprint(&self, _arch: Arch, _accel: Accel) -> anyhow::Result<String> {
        match self.0 {}
    }

    pub fn kvm_facts(&self, _arch: Arch) -> KvmFacts {
        match self.0 {}
    }

    pub fn qemu_log(&self, _domain: &str) -> Option<PathBuf> {
        match self.0 {}
    }

    pub fn network_address(&self, _network: &Network) -> anyhow::Result<ServePlace> {
        match self.0 {}
    }

    pub fn start(&self, _spec: &DomainSpec, _keep: bool) -> anyhow::Result<Started> {
        match self.0 {}
    }

    pub fn load(&self, _spec: &DomainSpec, _saved: &SavedGuest) -> anyhow::Result<Started> {
        match self.0 {}
    }

    pub fn xml_of(&self, _spec: &DomainSpec) -> anyhow::Result<String> {
        match self.0 {}
    }

    pub fn marked(&self) -> anyhow::Result<Vec<(String, Marker)>> {
        match self.0 {}
    }

    pub fn find(&self, _name: &str) -> anyhow::Result<Option<Marker>> {
        match self.0 {}
    }

    pub fn machine(&self, _name: &str) -> anyhow::Result<Option<Machine>> {
        match self.0 {}
    }

    pub fn files_left(&self, _build_id: &str) -> anyhow::Result<usize> {
        match self.0 {}
    }

    pub fn remove_leftover(&self, _name: &str, _build_id: &str) -> anyhow::Result<()> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub struct Guest(Never);

impl Guest {
    pub fn resume(&self) -> anyhow::Result<()> {
        match self.0 {}
    }

    pub fn plug_in(&self, _spec: &DomainSpec) -> anyhow::Result<()> {
        match self.0 {}
    }

    pub fn save(&self, _file: &Path) -> anyhow::Result<SavedGuest> {
        match self.0 {}
    }

    pub async fn ended(&self) -> GuestEnd {
        match self.0 {}
    }

    pub async fn finished(&self) -> GuestEnd {
        match self.0 {}
    }

    pub fn destroy(&self) -> anyhow::Result<()> {
        match self.0 {}
    }

    pub fn press_power_button(&self) -> anyhow::Result<()> {
        match self.0 {}
    }

    pub fn press_ctrl_alt_delete(&self) -> anyhow::Result<()> {
        match self.0 {}
    }

    pub fn ask_agent(&self, _command: &str, _seconds: i32) -> anyhow::Result<String> {
        match self.0 {}
    }

    pub fn survival(&self) -> Arc<AtomicBool> {
        match self.0 {}
    }

    pub fn leave(&self) {
        match self.0 {}
    }

    pub fn observer(&self) -> Observer {
        match self.0 {}
    }

    pub fn live_xml(&self) -> anyhow::Result<String> {
        match self.0 {}
    }

    pub fn name(&self) -> &str {
        match self.0 {}
    }

    pub fn sockets(&self) -> &GuestSockets {
        match self.0 {}
    }
}

#[derive(Debug, Clone)]
pub struct Observer(Never);

impl Observer {
    pub fn screenshot(&self) -> anyhow::Result<Vec<u8>> {
        match self.0 {}
    }

    pub fn counters(&self) -> anyhow::Result<Counters> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub struct Port(Never);

impl Port {
    pub async fn read(&mut self) -> Option<Vec<u8>> {
        match self.0 {}
    }

    pub fn write(&mut self, _bytes: &[u8]) -> usize {
        match self.0 {}
    }
}
