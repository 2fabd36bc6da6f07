// A client of Roost in a web page, by docs/protocol.md. The test calls its methods and
// reads what they return. ?server= names the server, which is of another origin.
class Client {
  constructor(server) {
    this.server = server;
    this.number = 0; // message_id_by_client of the last send
    this.frames = []; // that nobody waited for, in order
    this.waiting = null; // {type, resolve, reject} of the call of next that waits
  }

  // call makes an HTTP request. It returns the status, the data or the error, and the headers
  // that CORS lets a page read.
  async call(method, path, body) {
    const headers = {};
    if (this.token) headers["Authorization"] = "Bearer " + this.token;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const response = await fetch(this.server + path, { method, headers, body: JSON.stringify(body) });
    const answer = await response.json();
    return {
      status: response.status,
      data: answer.data,
      code: answer.error?.code,
      retry_after: response.headers.get("Retry-After"),
      www_authenticate: response.headers.get("WWW-Authenticate"),
    };
  }

  // logIn registers an account, logs in, and keeps the token.
  async logIn(user_id, password) {
    const created = await this.call("POST", "/accounts", { user_id, password });
    const session = await this.call("POST", "/sessions", { user_id, password });
    this.token = session.data?.token;
    return [created.status, session.status];
  }

  // connect opens the WebSocket and says hello: as a new device, or again as the same one.
  async connect() {
    this.socket = new WebSocket(this.server.replace(/^http/, "ws") + "/ws", "roost.v1");
    this.closed = new Promise((resolve) => {
      this.socket.onclose = (event) => {
        this.waiting?.reject(new Error("closed with " + event.code));
        resolve(event.code);
      };
    });
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    await new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.socket.onerror = () => reject(new Error("the WebSocket did not open"));
    });
    const device = this.device_id ? { device_id: this.device_id, resume_after: this.cursor } : { device_name: "browser" };
    this.write({ type: "hello", token: this.token, ...device });
    const welcome = await this.next("welcome");
    this.device_id = welcome.device_id;
    this.number = welcome.last_message_id_by_client;
    return welcome;
  }

  write(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  receive(frame) {
    if (this.waiting && (frame.type === this.waiting.type || frame.type === "error")) {
      const { type, resolve, reject } = this.waiting;
      this.waiting = null;
      if (frame.type === type) resolve(frame);
      else reject(new Error(frame.code + ": " + frame.message));
      return;
    }
    this.frames.push(frame);
  }

  // next returns the next frame of a type.
  async next(type) {
    const i = this.frames.findIndex((frame) => frame.type === type);
    if (i >= 0) return this.frames.splice(i, 1)[0];
    return new Promise((resolve, reject) => (this.waiting = { type, resolve, reject }));
  }

  // send sends a message, and returns its id once the server has accepted it.
  async send(receiver_id, content) {
    const message_id_by_client = ++this.number;
    this.write({ type: "send_message", receiver_id, content, message_id_by_client, timestamp: Date.now() });
    const received = await this.next("message_received");
    if (received.message_id_by_client !== message_id_by_client) throw new Error("the answer is to another send");
    return received.message_id;
  }

  // take returns the next message, and acknowledges it.
  async take() {
    const message = await this.next("incoming_message");
    this.write({ type: "message_delivered", message_id: message.message_id, timestamp: Date.now() });
    this.cursor = message.cursor;
    return message;
  }

  // alive asks the server for a sign of life, which is how a page notices a dead connection.
  async alive() {
    this.write({ type: "heartbeat" });
    return (await this.next("heartbeat")).type === "heartbeat" && this.socket.protocol;
  }

  // leave closes the connection, and returns the frames that nobody waited for.
  async leave() {
    this.socket.close(1000);
    await this.closed;
    return this.frames.splice(0).map((frame) => frame.type);
  }

  // history reads the pages of a chat, newest message first, once the newest one is there.
  async history(chat, newest) {
    const pages = [];
    let before = "";
    for (;;) {
      const page = await this.call("GET", "/history/" + chat + (before && "?before=" + before));
      if (page.status !== 200) throw new Error("history is answered with " + page.status + " " + page.code);
      if (!before && page.data[0]?.message_id !== newest) {
        await new Promise((resolve) => setTimeout(resolve, 50)); // the mirror writes it a moment later
        continue;
      }
      if (page.data.length === 0) return pages;
      pages.push(page.data.map((message) => message.content));
      before = page.data.at(-1).message_id;
    }
  }
}

const roost = new Client(new URLSearchParams(location.search).get("server"));

// outcome tells how a promise ends, as text.
const outcome = (promise) =>
  promise.then(
    (value) => "got " + (value instanceof Response ? value.type + " " + value.status : JSON.stringify(value)),
    (error) => error.name + ": " + error.message,
  );

// form sends what a form of any page may send without a preflight.
const form = (path, body) => fetch(roost.server + path, { method: "POST", mode: "no-cors", body: JSON.stringify(body) });
