package io.callboard.sdk.internal;

import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import java.util.stream.Stream;

/** Lists that nodes give a page at a time. */
public final class Pages {
  private Pages() {}

  /**
   * One page.
   *
   * @param items what is on it
   * @param next where the next page begins; null if there is none
   * @param <T> the type of the items
   * @param <K> what says where a page begins
   */
  public record Page<T, K>(List<T> items, K next) {}

  /**
   * All items. A page is asked for when the stream comes to it.
   *
   * @param first where the first page begins
   * @param load asks for the page that begins there
   * @param <T> the type of the items
   * @param <K> what says where a page begins
   * @return the items in their order
   */
  public static <T, K> Stream<T> stream(K first, Function<K, Page<T, K>> load) {
    return Stream.iterate(
            load.apply(first),
            Objects::nonNull,
            page -> page.next() == null ? null : load.apply(page.next()))
        .flatMap(page -> page.items().stream());
  }

  /**
   * A page token, where empty says that there are no more pages.
   *
   * @param token the token
   * @return null if it is empty
   */
  public static String more(String token) {
    return token.isEmpty() ? null : token;
  }
}
