package io.callboard.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What {@code callboard gen} writes compiles under the strictest settings, and users' mistakes do not. */
class GeneratedCodeTest {
  private static final Path GENERATED = Path.of("src/test/gen");
  /** The golden files of the generator's own tests: code in a snapshot, behind a header between dashes. */
  private static final Path GOLDEN = Path.of("../../../sdk-gen/tests/golden/java");

  @TempDir Path output;

  @Test
  void generatedCodeCompilesWithoutAWarning() throws IOException {
    assertEquals(List.of(), compile("-Xlint:all", "-Werror"));
  }

  @Test
  void theGoldenFilesCompileWithoutAWarning() throws IOException {
    List<JavaFileObject> golden = golden();
    assertFalse(golden.isEmpty(), "no golden files in " + GOLDEN);
    assertEquals(List.of(), compileAll(golden, "-Xlint:all", "-Werror"));
  }

  @Test
  void aWholeActorCompiles() throws IOException {
    assertEquals(
        List.of(), compileWith(actor("context.reply(reply(context.state().getItemsCount()))"), "-Xlint:all", "-Werror"));
  }

  @ParameterizedTest
  @CsvSource({
    "a method is missing, compiler.err.does.not.override.abstract",
    "a reading action changes the state, compiler.err.cant.resolve.location.args",
    "a reply of the wrong type, compiler.err.prob.found.req",
    "a state of the wrong type, compiler.err.prob.found.req",
    "a request of the wrong type, compiler.err.prob.found.req",
    "a pipe with a reply of the wrong type, compiler.err.prob.found.req",
    "a told call with an argument of the wrong type, compiler.err.prob.found.req",
    "a reading action tells, compiler.err.cant.resolve.location.args",
    "a handler for another context, compiler.err.does.not.override.abstract"
  })
  void mistakesDoNotCompile(String mistake, String expected) throws IOException {
    String source =
        switch (mistake) {
          case "a method is missing" -> "import matrix.keyed.*; class Shop extends CartActor {}";
          case "a reading action changes the state" ->
              actor("context.setState(Keyed.CartState.getDefaultInstance()) == null ? null : null");
          case "a reply of the wrong type" -> actor("context.reply(Keyed.PutRequest.getDefaultInstance())");
          case "a state of the wrong type" ->
              """
              import matrix.keyed.*;
              class Shop {
                void change(io.callboard.sdk.Context<Keyed.CartState> context) {
                  context.setState(Keyed.PutReply.getDefaultInstance());
                }
              }
              """;
          case "a request of the wrong type" ->
              """
              import matrix.keyed.*;
              class Shop {
                void call(CartRef cart) {
                  cart.look(Keyed.PutRequest.getDefaultInstance());
                }
              }
              """;
          case "a pipe with a reply of the wrong type" ->
              workflow("PutRequest", "context.pipe(cart.action(CartDef.PUT).with(request))");
          case "a told call with an argument of the wrong type" ->
              workflow("PutReply", "context.pipe(cart.action(CartDef.LOOK).with(request))");
          case "a reading action tells" ->
              workflow("PutReply", "context.forward(cart.action(CartDef.TAKE))")
                  .replace("Context<", "ReadContext<");
          default ->
              actor("context.reply(reply(1))")
                  .replace("look(ReadContext<", "look(Context<");
        };
    List<String> errors = compileWith(source, "-Xlint:none");
    assertEquals(expected, errors.get(0), errors.toString());
  }

  @Test
  void generatedTypesTellPipeForwardAndSet() throws IOException {
    String settings =
        """
          @Override
          public ActorSettings settings() {
            return ActorSettings.NONE
                .withTimer(CartDef.TAKE, java.time.Duration.ofSeconds(5))
                .withChannel(Channel.protobuf("puts", Keyed.PutRequest.getDefaultInstance()), CartDef.PUT);
          }
          @Override
          protected Reply<Keyed.PutReply> take(
        """;
    String answers = "context.reply(reply(context.state().getItemsCount()))";
    String source = actor(answers).replace("  @Override\n  protected Reply<Keyed.PutReply> take(", settings.stripTrailing());
    assertTrue(source.contains("settings()"), source);
    assertEquals(List.of(), compileWith(source, "-Xlint:all", "-Werror"));
    assertEquals(
        List.of(),
        compileWith(workflow("PutReply", "context.pipe(cart.action(CartDef.PUT).with(request))"), "-Xlint:all"));
    assertEquals(
        List.of(),
        compileWith(workflow("PutReply", "context.forward(cart.action(CartDef.TAKE))"), "-Xlint:all"));
  }

  private static String workflow(String reply, String answer) {
    return """
        import io.callboard.sdk.*;
        import matrix.keyed.*;
        class Shop {
          Reply<Keyed.REPLY> put(Context<Keyed.CartState> context, Keyed.PutRequest request) {
            CartRef cart = CartClient.of(context).ref("other");
            context.tell(cart.action(CartDef.TAKE).with(request), java.time.Duration.ofSeconds(1));
            return ANSWER;
          }
        }
        """
        .replace("REPLY", reply)
        .replace("ANSWER", answer);
  }

  private static String actor(String look) {
    return """
        import io.callboard.sdk.*;
        import matrix.keyed.*;
        class Shop extends CartActor {
          private static Keyed.PutReply reply(int count) {
            return Keyed.PutReply.newBuilder().setCount(count).build();
          }
          @Override
          protected Reply<Keyed.PutReply> put(Context<Keyed.CartState> context, Keyed.PutRequest request) {
            Keyed.CartState state =
                context.update(s -> s.toBuilder().addItems(request.getItem()).build());
            return context.reply(reply(state.getItemsCount()));
          }
          @Override
          protected Reply<Keyed.PutReply> take(Context<Keyed.CartState> context, Keyed.PutRequest request) {
            return context.reply(java.util.concurrent.CompletableFuture.completedFuture(reply(0)));
          }
          @Override
          protected Reply<Keyed.PutReply> look(ReadContext<Keyed.CartState> context, Keyed.LookRequest request) {
            return LOOK;
          }
        }
        """
        .replace("LOOK", look);
  }

  private List<String> compile(String... options) throws IOException {
    return compileAll(List.of(), options);
  }

  private List<String> compileWith(String source, String... options) throws IOException {
    return compileAll(List.of(inMemory("Shop", source)), options);
  }

  private static JavaFileObject inMemory(String name, String source) {
    URI uri = URI.create("string:///" + name + ".java");
    return new SimpleJavaFileObject(uri, JavaFileObject.Kind.SOURCE) {
      @Override
      public CharSequence getCharContent(boolean ignoreEncodingErrors) {
        return source;
      }
    };
  }

  private static List<JavaFileObject> golden() throws IOException {
    List<JavaFileObject> sources = new ArrayList<>();
    try (Stream<Path> snapshots = Files.list(GOLDEN)) {
      for (Path snapshot : snapshots.toList()) {
        String text = Files.readString(snapshot);
        String name = snapshot.getFileName().toString().replace(".java.snap", "").replace('.', '/');
        sources.add(inMemory(name, text.substring(text.indexOf("\n---\n") + 5)));
      }
    }
    return sources;
  }

  /** The codes of all errors and warnings, for the generated files together with some more. */
  private List<String> compileAll(List<JavaFileObject> more, String... options) throws IOException {
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    assertNotNull(compiler, "a JDK is needed, not only a JRE");
    DiagnosticCollector<JavaFileObject> diagnostics = new DiagnosticCollector<>();
    try (StandardJavaFileManager files = compiler.getStandardFileManager(diagnostics, null, null);
        Stream<Path> generated = Files.walk(GENERATED)) {
      List<JavaFileObject> sources = new ArrayList<>(more);
      List<Path> paths = generated.filter(path -> path.toString().endsWith(".java")).toList();
      files.getJavaFileObjectsFromPaths(paths).forEach(sources::add);
      String classPath = System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
      List<String> all =
          new ArrayList<>(
              List.of("--release", "17", "-proc:none", "-d", output.toString(), "-classpath", classPath));
      all.addAll(List.of(options));
      compiler.getTask(null, files, diagnostics, all, null, sources).call();
      return diagnostics.getDiagnostics().stream()
          .filter(diagnostic -> diagnostic.getKind() != javax.tools.Diagnostic.Kind.NOTE)
          .map(diagnostic -> diagnostic.getCode())
          .distinct()
          .toList();
    }
  }
}
