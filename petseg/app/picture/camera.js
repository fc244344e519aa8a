// A photo by the camera of a computer; a phone's own picker offers its camera by itself.
const camera = (give) => {
  const button = find(".camera"), room = find(".filming"), video = find(".filming video");
  button.hidden = !navigator.mediaDevices?.getUserMedia || matchMedia("(pointer: coarse)").matches;
  let stream = null;
  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    room.hidden = true;
    button.focus();
  };
  button.addEventListener("click", async () => {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 } } });
    } catch {
      give(null, "The camera cannot be used; choose a photo instead.");
      return;
    }
    room.hidden = false;
    video.srcObject = stream;
    await video.play();
    find(".shoot").focus();
  });
  find(".filming .stop").addEventListener("click", stop);
  find(".shoot").addEventListener("click", () => {
    if (!video.videoWidth) return;
    const copy = blank(video.videoWidth, video.videoHeight);
    copy.getContext("2d").drawImage(video, 0, 0);
    stop();
    copy.toBlob((blob) => give(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
  });
};
