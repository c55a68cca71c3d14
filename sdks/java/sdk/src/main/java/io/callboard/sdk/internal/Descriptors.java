package io.callboard.sdk.internal;

import com.google.protobuf.ByteString;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.Descriptors.FileDescriptor;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.Set;

/** Puts together the descriptor set that a host registers. */
final class Descriptors {
  private Descriptors() {}

  /** The files and all that they import, each after its imports. Empty if there are none. */
  static ByteString set(Collection<FileDescriptor> files) {
    Set<FileDescriptor> ordered = new LinkedHashSet<>();
    files.forEach(file -> add(file, ordered));
    if (ordered.isEmpty()) {
      return ByteString.EMPTY;
    }
    FileDescriptorSet.Builder set = FileDescriptorSet.newBuilder();
    ordered.forEach(file -> set.addFile(file.toProto()));
    return set.build().toByteString();
  }

  private static void add(FileDescriptor file, Set<FileDescriptor> ordered) {
    if (!ordered.contains(file)) {
      file.getDependencies().forEach(dependency -> add(dependency, ordered));
      ordered.add(file);
    }
  }
}
