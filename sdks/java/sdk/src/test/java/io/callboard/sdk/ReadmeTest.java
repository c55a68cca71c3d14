package io.callboard.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.callboard.sdk.internal.Version;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The README shows only code that is compiled and tested. */
class ReadmeTest {
  private static final Pattern BLOCK = Pattern.compile("```(java|xml)\n(.*?)```", Pattern.DOTALL);

  @Test
  void everySnippetIsPartOfAFileThatIsBuilt() throws IOException {
    List<String> sources = new ArrayList<>();
    for (String root :
        List.of("src/test/java/io/callboard/sdk/samples", "../../../examples/incrementor/java/src/main")) {
      try (Stream<Path> files = Files.walk(Path.of(root))) {
        for (Path file : files.filter(Files::isRegularFile).toList()) {
          sources.add(Files.readString(file));
        }
      }
    }
    sources.add(Files.readString(Path.of("../../../examples/incrementor/java/pom.xml")));
    Matcher blocks = BLOCK.matcher(Files.readString(Path.of("../README.md")));
    int count = 0;
    while (blocks.find()) {
      count++;
      String snippet = blocks.group(2);
      assertTrue(sources.stream().anyMatch(source -> source.contains(snippet)), "in no file:\n" + snippet);
    }
    assertEquals(12, count, "snippets in README.md");
  }

  @Test
  void theVersionIsThatOfThePom() throws IOException {
    String pom = Files.readString(Path.of("../pom.xml"));
    assertTrue(pom.contains("<artifactId>callboard-java</artifactId>\n  <version>" + Version.SDK + "</version>"));
  }
}
