package hello;

import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;

/** Says over HTTP which version of the program runs on which base image. */
public class Hello {
  public static void main(String[] arguments) throws Exception {
    String version = Hello.class.getPackage().getImplementationVersion();
    String base = Files.readString(Path.of("/etc/java-base")).strip();
    byte[] answer = ("hello " + version + " on the " + base + " base").getBytes();
    HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
    server.createContext("/", exchange -> {
      exchange.sendResponseHeaders(200, answer.length);
      try (var body = exchange.getResponseBody()) {
        body.write(answer);
      }
    });
    server.start();
  }
}
