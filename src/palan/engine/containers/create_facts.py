"""The facts that validation at create depends on."""

import os

from palan.engine.containers.context import ContainerContext
from palan.engine.containers.validate_facts import CreateFacts
from palan.host import facts


__all__ = ["create_facts"]


def create_facts(context: ContainerContext) -> CreateFacts:
    """Return the facts as they are now."""
    config, machine, runtimes = context.config, context.machine, context.runtimes
    return CreateFacts(
        host=machine.host,
        cpus=machine.facts.ncpu,
        cpuset_cpus=machine.cpus,
        cpuset_mems=machine.memory_nodes,
        features=runtimes.cgroup_features,
        runtimes=runtimes.names,
        default_log_driver=config.log_driver,
        path_exists=os.path.exists,
        init_path=machine.init_path,
        default_init=config.init,
        default_ulimits=config.default_ulimits,
        default_seccomp=machine.default_seccomp,
        no_new_privileges=config.no_new_privileges,
        realtime=config.cpu_rt_runtime > 0,
        ip_forwarding=facts.ip_forwarding(),
        cgroup_namespaces=machine.facts.cgroup_namespaces,
        selinux=machine.facts.selinux,
        recursive_read_only=runtimes.any_recursively_read_only,
        subnets_of=context.networks.subnets,
    )
