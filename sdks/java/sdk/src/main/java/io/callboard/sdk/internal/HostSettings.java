package io.callboard.sdk.internal;

import io.callboard.host.v1.Hello;
import io.callboard.host.v1.Register;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * What a host offers and how, the same for all its sessions.
 *
 * @param system the system that the types belong to
 * @param engines the engines by type name
 * @param labels facts about the host that placement may use
 * @param instanceId names the process
 * @param credits how many turns the host takes at a time, over all sessions
 * @param drainTimeout how long a drain may take
 */
public record HostSettings(
    String system,
    Map<String, TurnEngine<?, ?>> engines,
    Map<String, String> labels,
    String instanceId,
    int credits,
    Duration drainTimeout) {

  Hello hello(int turns) {
    return Hello.newBuilder()
        .setProtocolMajor(Version.PROTOCOL_MAJOR)
        .setProtocolMinor(Version.PROTOCOL_MINOR)
        .setSdkName("callboard-java")
        .setSdkVersion(Version.SDK)
        .setRuntime("Java " + Runtime.version() + " (" + System.getProperty("java.vm.name") + ")")
        .setInstanceId(instanceId)
        .putAllLabels(labels)
        .setCredits(turns)
        .build();
  }

  Register register(long id) {
    Register.Builder register = Register.newBuilder().setRegisterId(id).setSystem(system);
    List<com.google.protobuf.Descriptors.FileDescriptor> files = new ArrayList<>();
    for (TurnEngine<?, ?> engine : engines.values()) {
      register.addTypes(Wire.definition(engine.definition(), engine.settings()));
      engine.definition().file().ifPresent(files::add);
    }
    return register.setDescriptorSet(Descriptors.set(files)).build();
  }
}
