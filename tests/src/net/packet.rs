//! Frames as bytes: whose they are, the answer to an address request, and the reset that ends a connection.

use super::{Port, hardware, port};

/// What the kernel puts before each frame of a packet socket that asked for it: what is left to do for the hardware,
/// for example checksums.
pub const HARDWARE_HEADER: usize = 10;

const ETHERNET: usize = HARDWARE_HEADER + 14;
const IPV4: usize = 20;
const TCP: usize = 20;
const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_ARP: [u8; 2] = [0x08, 0x06];
const ARP_REQUEST: [u8; 2] = [0, 1];
const ARP_REPLY: [u8; 2] = [0, 2];
const PROTOCOL_TCP: u8 = 6;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What to do with a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Send it on.
    From {
        /// Its sender.
        from: Port,
        /// Its receiver.
        to: Port,
    },
    /// Send this back instead: somebody asked for a hardware address.
    Answer(Vec<u8>),
    /// Nothing that this network carries.
    Other,
}

/// Looks at a frame.
#[must_use]
pub fn look(frame: &[u8]) -> Frame {
    match field(frame, HARDWARE_HEADER + 12) {
        Some(TYPE_IPV4) => {
            let from = field(frame, ETHERNET + 12).and_then(port);
            let to = field(frame, ETHERNET + 16).and_then(port);
            match (from, to) {
                (Some(from), Some(to)) => Frame::From { from, to },
                _ => Frame::Other,
            }
        }
        Some(TYPE_ARP) if field(frame, ETHERNET + 6) == Some(ARP_REQUEST) => {
            address_answer(frame).map_or(Frame::Other, Frame::Answer)
        }
        _ => Frame::Other,
    }
}

fn field<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..at + N)?.try_into().ok()
}

/// Says where an address is. Somebody who asks for its own wants to know whether another has it, and gets no answer.
fn address_answer(frame: &[u8]) -> Option<Vec<u8>> {
    let asker: [u8; 6] = field(frame, ETHERNET + 8)?;
    let asker_ip: [u8; 4] = field(frame, ETHERNET + 14)?;
    let wanted: [u8; 4] = field(frame, ETHERNET + 24)?;
    let found = hardware(port(wanted)?);
    if wanted == asker_ip {
        return None;
    }
    let mut answer = ethernet(asker, found, TYPE_ARP);
    answer.extend_from_slice(frame.get(ETHERNET..ETHERNET + 6)?);
    answer.extend_from_slice(&ARP_REPLY);
    answer.extend_from_slice(&found);
    answer.extend_from_slice(&wanted);
    answer.extend_from_slice(&asker);
    answer.extend_from_slice(&asker_ip);
    Some(answer)
}

fn ethernet(to: [u8; 6], from: [u8; 6], kind: [u8; 2]) -> Vec<u8> {
    let mut frame = vec![0; HARDWARE_HEADER];
    frame.extend_from_slice(&to);
    frame.extend_from_slice(&from);
    frame.extend_from_slice(&kind);
    frame
}

/// The reset that tells the sender of a TCP segment that its connection is over. `None` for other frames and for resets.
#[must_use]
pub fn reset(frame: &[u8]) -> Option<Vec<u8>> {
    let ip = frame.get(ETHERNET..)?;
    let header = usize::from(ip.first()? & 15) * 4;
    let fragment: [u8; 2] = field(ip, 6)?;
    if *ip.get(9)? != PROTOCOL_TCP || u16::from_be_bytes(fragment) & 0x1fff != 0 {
        return None;
    }
    let from: [u8; 4] = field(ip, 12)?;
    let to: [u8; 4] = field(ip, 16)?;
    let total = usize::from(u16::from_be_bytes(field(ip, 2)?));
    let tcp = ip.get(header..)?;
    let flags = *tcp.get(13)?;
    if flags & RST != 0 {
        return None;
    }
    let sequence = u32::from_be_bytes(field(tcp, 4)?);
    let acknowledged = u32::from_be_bytes(field(tcp, 8)?);
    let data = total.saturating_sub(header + usize::from(tcp.get(12)? >> 4) * 4);
    let length =
        u32::try_from(data).ok()? + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let mut segment = Vec::with_capacity(TCP);
    segment.extend_from_slice(tcp.get(2..4)?);
    segment.extend_from_slice(tcp.get(0..2)?);
    // As RFC 9293 says for a segment to a connection that does not exist.
    let (next, answer, flags) = match flags & ACK {
        0 => (0, sequence.wrapping_add(length), RST | ACK),
        _ => (acknowledged, 0, RST),
    };
    segment.extend_from_slice(&next.to_be_bytes());
    segment.extend_from_slice(&answer.to_be_bytes());
    segment.extend_from_slice(&[5 << 4, flags, 0, 0, 0, 0, 0, 0]);
    let sum = checksum(&[&to, &from, &[0, PROTOCOL_TCP, 0, TCP as u8], &segment]);
    segment[16..18].copy_from_slice(&sum);

    let mut out = ethernet(hardware(port(from)?), hardware(port(to)?), TYPE_IPV4);
    let mut packet = vec![0x45, 0, 0, (IPV4 + TCP) as u8, 0, 0, 0x40, 0, 64, PROTOCOL_TCP, 0, 0];
    packet.extend_from_slice(&to);
    packet.extend_from_slice(&from);
    let sum = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&sum);
    out.extend_from_slice(&packet);
    out.extend_from_slice(&segment);
    Some(out)
}

/// The internet checksum over parts of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(flags: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = ethernet(hardware(2), hardware(1), TYPE_IPV4);
        let total = (IPV4 + TCP + data.len()) as u8;
        frame.extend_from_slice(&[0x45, 0, 0, total, 0, 0, 0x40, 0, 64, PROTOCOL_TCP, 0, 0]);
        frame.extend_from_slice(&[10, 203, 0, 1, 10, 203, 0, 2]);
        frame.extend_from_slice(&[0x10, 0x01, 0x20, 0x02]);
        frame.extend_from_slice(&100_u32.to_be_bytes());
        frame.extend_from_slice(&900_u32.to_be_bytes());
        frame.extend_from_slice(&[5 << 4, flags, 0, 0, 0, 0, 0, 0]);
        frame.extend_from_slice(data);
        frame
    }

    #[test]
    fn a_frame_is_known_by_its_addresses() {
        assert_eq!(look(&segment(ACK, b"x")), Frame::From { from: 1, to: 2 });
        assert_eq!(look(&[0; 30]), Frame::Other);
        assert_eq!(look(&[]), Frame::Other);
        let mut foreign = segment(ACK, b"x");
        foreign[ETHERNET + 16] = 192;
        assert_eq!(look(&foreign), Frame::Other);
    }

    #[test]
    fn who_asks_for_an_address_is_told_it() {
        let mut ask = ethernet([0xff; 6], hardware(1), TYPE_ARP);
        ask.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
        ask.extend_from_slice(&hardware(1));
        ask.extend_from_slice(&[10, 203, 0, 1]);
        ask.extend_from_slice(&[0; 6]);
        ask.extend_from_slice(&[10, 203, 0, 7]);
        let Frame::Answer(answer) = look(&ask) else { panic!("no answer") };
        assert_eq!(answer[HARDWARE_HEADER..HARDWARE_HEADER + 6], hardware(1));
        assert_eq!(answer[ETHERNET + 6..ETHERNET + 8], ARP_REPLY);
        assert_eq!(answer[ETHERNET + 8..ETHERNET + 14], hardware(7));
        assert_eq!(answer[ETHERNET + 14..ETHERNET + 18], [10, 203, 0, 7]);
    }

    #[test]
    fn a_reset_fits_the_segment_that_it_answers() {
        let answer = reset(&segment(ACK, b"hello")).expect("a segment is answered");
        assert_eq!(look(&answer), Frame::From { from: 2, to: 1 });
        let ip = &answer[ETHERNET..];
        assert_eq!(checksum(&[&ip[..IPV4]]), [0, 0]);
        let tcp = &ip[IPV4..];
        assert_eq!(tcp[..4], [0x20, 0x02, 0x10, 0x01]);
        assert_eq!(tcp[4..8], 900_u32.to_be_bytes());
        assert_eq!(tcp[13], RST);
        let pseudo = [10, 203, 0, 2, 10, 203, 0, 1, 0, PROTOCOL_TCP, 0, 20];
        assert_eq!(checksum(&[&pseudo, tcp]), [0, 0]);

        let refused = reset(&segment(SYN, b"")).expect("an opening is answered");
        let tcp = &refused[ETHERNET + IPV4..];
        assert_eq!(tcp[8..12], 101_u32.to_be_bytes());
        assert_eq!(tcp[13], RST | ACK);
        assert_eq!(reset(&answer), None);
    }
}
