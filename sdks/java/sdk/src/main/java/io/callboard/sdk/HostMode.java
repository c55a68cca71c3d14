package io.callboard.sdk;

/** Which nodes a host serves. */
public enum HostMode {
  /** Every node of the cluster, found through those that the host is given. */
  CLUSTER,
  /** Only the one node that the host is given, for a host that runs beside its node. */
  SIDECAR
}
