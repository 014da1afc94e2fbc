// Parses server-sent events. Pure: the parser takes chunks of text and calls `onEvent` for each
// event. (EventSource cannot send a token and does not expose the status.)

const EVENT_MAX = 1_048_576; // characters; one device with 64 metrics has about 5,000

export function parser(onEvent) {
  let rest = "";
  let id = "";
  let type = "message";
  let data = [];
  let size = 0; // of data
  const line = (text) => {
    if (text === "") {
      if (data.length) onEvent({ id, type, data: data.join("\n") });
      type = "message";
      data = [];
      size = 0;
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "data") {
      size += value.length;
      data.push(value);
    }
    if (field === "event") type = value;
    else if (field === "id") id = value;
  };
  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
    if (rest.length + size > EVENT_MAX) throw new RangeError("an event is too large");
  };
}
