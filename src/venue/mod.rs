//! A venue of our own: speaks the venues' protocols, plays files through them, and misbehaves on request.
