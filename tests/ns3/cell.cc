// One LTE cell in ns-3, always backlogged: what its scheduler saw, granted and got through.
//
//     make && ../../build/ns3/cell --distances=300,700,1500 --scheduler=Pf
//
// A single eNodeB of 46 dBm and users that stand still at the given distances, without interference. Path loss is
// that of 3GPP TR 36.942 section 4.5.2, 128.1 + 37.6 log10(km) dB; fading comes from a trace file in ns-3's format.
// The bearers are saturated RLC (LteRlcSm): no core network, no headers. Between MAC and scheduler sits a tap, so
// that CQIs and grants are those of the scheduler itself. Prints one JSON object.

#include <ns3/core-module.h>
#include <ns3/lte-module.h>
#include <ns3/mobility-module.h>
#include <ns3/network-module.h>
#include <ns3/propagation-module.h>

#include <bitset>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using namespace ns3;

namespace
{

/// What happened to one user within the time measured.
struct User
{
    double distance_m = 0;
    double sinrSum = 0; // linear
    long nSinr = 0;
    long nGroups = 0;       // resource block groups granted
    long nTti = 0;          // TTIs in which some were granted
    long grantedBytes = 0;  // transport blocks, first transmissions
    long repeatedBytes = 0; // HARQ
    long receivedBytes = 0; // by RLC
    std::string now;        // the CQIs that the scheduler holds, a hexadecimal digit a group,
    std::string wideband;   // and the one of the whole carrier
    std::string history;    // those of each TTI
    std::string widebandHistory;
    bool isFading = false;
};

std::map<uint16_t, User> g_users; // by RNTI
bool g_isMeasuring = false;
const std::string DIGITS = "0123456789abcdef";

void
KeepCqis(const std::vector<CqiListElement_s>& reports)
{
    for (const auto& report : reports)
    {
        User& user = g_users[report.m_rnti];
        if (report.m_cqiType == CqiListElement_s::P10)
        {
            user.wideband = DIGITS[report.m_wbCqi.at(0)];
        }
        else if (report.m_cqiType == CqiListElement_s::A30)
        {
            user.now.clear();
            for (const auto& group : report.m_sbMeasResult.m_higherLayerSelected)
            {
                user.now += DIGITS[group.m_sbCqi.at(0)];
            }
        }
    }
}

void
KeepHistory()
{
    for (auto& [rnti, user] : g_users)
    {
        user.history += user.now;
        user.widebandHistory += user.wideband;
    }
}

void
KeepGrants(const std::vector<BuildDataListElement_s>& grants)
{
    for (const auto& grant : grants)
    {
        User& user = g_users[grant.m_rnti];
        user.nGroups += std::bitset<32>(grant.m_dci.m_rbBitmap).count();
        user.nTti += 1;
        (grant.m_dci.m_ndi.at(0) ? user.grantedBytes : user.repeatedBytes) += grant.m_dci.m_tbsSize.at(0);
    }
}

/// Hears what the MAC tells the scheduler.
class ProviderTap : public FfMacSchedSapProvider
{
  public:
    FfMacSchedSapProvider* inner = nullptr;

    void SchedDlCqiInfoReq(const SchedDlCqiInfoReqParameters& p) override
    {
        KeepCqis(p.m_cqiList);
        inner->SchedDlCqiInfoReq(p);
    }

    void SchedDlTriggerReq(const SchedDlTriggerReqParameters& p) override
    {
        if (g_isMeasuring)
        {
            KeepHistory();
        }
        inner->SchedDlTriggerReq(p);
    }

    void SchedDlRlcBufferReq(const SchedDlRlcBufferReqParameters& p) override { inner->SchedDlRlcBufferReq(p); }
    void SchedDlPagingBufferReq(const SchedDlPagingBufferReqParameters& p) override
    {
        inner->SchedDlPagingBufferReq(p);
    }
    void SchedDlMacBufferReq(const SchedDlMacBufferReqParameters& p) override { inner->SchedDlMacBufferReq(p); }
    void SchedDlRachInfoReq(const SchedDlRachInfoReqParameters& p) override { inner->SchedDlRachInfoReq(p); }
    void SchedUlTriggerReq(const SchedUlTriggerReqParameters& p) override { inner->SchedUlTriggerReq(p); }
    void SchedUlNoiseInterferenceReq(const SchedUlNoiseInterferenceReqParameters& p) override
    {
        inner->SchedUlNoiseInterferenceReq(p);
    }
    void SchedUlSrInfoReq(const SchedUlSrInfoReqParameters& p) override { inner->SchedUlSrInfoReq(p); }
    void SchedUlMacCtrlInfoReq(const SchedUlMacCtrlInfoReqParameters& p) override
    {
        inner->SchedUlMacCtrlInfoReq(p);
    }
    void SchedUlCqiInfoReq(const SchedUlCqiInfoReqParameters& p) override { inner->SchedUlCqiInfoReq(p); }
};

/// Hears what the scheduler tells the MAC.
class UserTap : public FfMacSchedSapUser
{
  public:
    FfMacSchedSapUser* inner = nullptr;

    void SchedDlConfigInd(const SchedDlConfigIndParameters& p) override
    {
        if (g_isMeasuring)
        {
            KeepGrants(p.m_buildDataList);
        }
        inner->SchedDlConfigInd(p);
    }

    void SchedUlConfigInd(const SchedUlConfigIndParameters& p) override { inner->SchedUlConfigInd(p); }
};

/// A scheduler of ns-3's behind the two taps.
template <class Scheduler>
class Tapped : public Scheduler
{
  public:
    static TypeId GetTypeId()
    {
        static TypeId tid = TypeId("Tapped" + Scheduler::GetTypeId().GetName())
                                .template SetParent<Scheduler>()
                                .template AddConstructor<Tapped<Scheduler>>();
        return tid;
    }

    FfMacSchedSapProvider* GetFfMacSchedSapProvider() override
    {
        m_provider.inner = Scheduler::GetFfMacSchedSapProvider();
        return &m_provider;
    }

    void SetFfMacSchedSapUser(FfMacSchedSapUser* user) override
    {
        m_user.inner = user;
        Scheduler::SetFfMacSchedSapUser(&m_user);
    }

  private:
    ProviderTap m_provider;
    UserTap m_user;
};

std::string
SchedulerNamed(const std::string& name)
{
    const std::map<std::string, TypeId> known = {
        {"Pf", Tapped<PfFfMacScheduler>::GetTypeId()},
        {"Rr", Tapped<RrFfMacScheduler>::GetTypeId()},
        {"FdMt", Tapped<FdMtFfMacScheduler>::GetTypeId()},
    };
    NS_ABORT_MSG_UNLESS(known.count(name), "no scheduler " << name << ": choose from Pf, Rr, FdMt");
    return known.at(name).GetName();
}

void
OnReceived(uint16_t rnti, uint8_t, uint32_t sizeBytes, uint64_t)
{
    g_users[rnti].receivedBytes += sizeBytes;
}

void
OnSinr(uint16_t, uint16_t rnti, double, double sinr, uint8_t)
{
    g_users[rnti].sinrSum += sinr;
    g_users[rnti].nSinr += 1;
}

void
StartMeasuring()
{
    g_isMeasuring = true;
    const std::string device = "/NodeList/*/DeviceList/*/$ns3::LteUeNetDevice/";
    Config::ConnectWithoutContext(device + "LteUeRrc/DataRadioBearerMap/*/LteRlc/RxPDU",
                                  MakeCallback(&OnReceived));
    Config::ConnectWithoutContext(device + "ComponentCarrierMapUe/*/LteUePhy/ReportCurrentCellRsrpSinr",
                                  MakeCallback(&OnSinr));
}

std::vector<double>
Numbers(const std::string& text)
{
    std::vector<double> numbers;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, ',');)
    {
        double number = 0;
        NS_ABORT_MSG_UNLESS(std::istringstream(part) >> number && number > 0,
                            "--distances: '" << part << "' is not a number of metres above 0");
        numbers.push_back(number);
    }
    return numbers;
}

NodeContainer
PlaceNodes(const std::vector<double>& distances_m)
{
    NodeContainer nodes(distances_m.size());
    auto positions = CreateObject<ListPositionAllocator>();
    for (double distance_m : distances_m)
    {
        positions->Add(Vector(distance_m, 0, 0));
    }
    MobilityHelper mobility;
    mobility.SetMobilityModel("ns3::ConstantPositionMobilityModel");
    mobility.SetPositionAllocator(positions);
    mobility.Install(nodes);
    return nodes;
}

/// What a transport block of so many groups carries, by number of groups (a row each) and CQI.
void
PrintBits(int groupRb, int nGroups)
{
    auto amc = CreateObject<LteAmc>();
    for (int n = 1; n <= nGroups; ++n)
    {
        std::cout << (n == 1 ? "[0" : ", [0");
        for (int cqi = 1; cqi < 16; ++cqi)
        {
            // the scheduler counts whole bytes
            std::cout << ", " << amc->GetDlTbSizeFromMcs(amc->GetMcsFromCqi(cqi), n * groupRb) / 8 * 8;
        }
        std::cout << "]";
    }
}

void
PrintUser(uint16_t rnti, const User& user)
{
    std::cout << "{\"rnti\": " << rnti << ", \"distance_m\": " << user.distance_m
              << ", \"sinr_db\": " << 10 * std::log10(user.sinrSum / user.nSinr)
              << ", \"n_groups\": " << user.nGroups << ", \"n_tti\": " << user.nTti
              << ", \"granted_bytes\": " << user.grantedBytes << ", \"repeated_bytes\": " << user.repeatedBytes
              << ", \"received_bytes\": " << user.receivedBytes << ", \"cqi\": \""
              << (user.isFading ? user.history : user.now) << "\", \"wideband_cqi\": \""
              << (user.isFading ? user.widebandHistory : user.wideband) << "\"}";
}

} // namespace

int
main(int argc, char* argv[])
{
    std::string distances = "300,500,700,900,1100,1300,1500,1700,1900,2100";
    std::string scheduler = "Pf";
    std::string amc = "MiErrorModel";
    std::string fading;
    int duration_ms = 2000;
    int settle_ms = 1000;
    int nRb = 50;
    bool errors = false;
    CommandLine command(__FILE__);
    command.AddValue("distances", "of the users from the eNodeB, in metres", distances);
    command.AddValue("scheduler", "Pf, Rr or FdMt", scheduler);
    command.AddValue("amc", "how a SINR becomes a CQI: MiErrorModel or PiroEW2010", amc);
    command.AddValue("fading", "trace file: a line a resource block, a column a millisecond, dB; 10 s", fading);
    command.AddValue("duration", "of the measurement, in ms", duration_ms);
    command.AddValue("settle", "before it, in ms", settle_ms);
    command.AddValue("rb", "resource blocks: 6, 15, 25, 50, 75 or 100", nRb);
    command.AddValue("errors", "transport blocks may fail and are repeated", errors);
    command.Parse(argc, argv);

    Config::SetDefault("ns3::LteAmc::AmcModel",
                       EnumValue(amc == "PiroEW2010" ? LteAmc::PiroEW2010 : LteAmc::MiErrorModel));
    Config::SetDefault("ns3::LteSpectrumPhy::DataErrorModelEnabled", BooleanValue(errors));
    Config::SetDefault("ns3::LteSpectrumPhy::CtrlErrorModelEnabled", BooleanValue(false));
    Config::SetDefault("ns3::LteEnbPhy::TxPower", DoubleValue(46));
    Config::SetDefault("ns3::LteUePhy::RsrpSinrSamplePeriod", UintegerValue(1));

    auto lte = CreateObject<LteHelper>();
    lte->SetSchedulerType(SchedulerNamed(scheduler));
    lte->SetEnbDeviceAttribute("DlBandwidth", UintegerValue(nRb));
    lte->SetEnbDeviceAttribute("UlBandwidth", UintegerValue(nRb));
    lte->SetPathlossModelType(LogDistancePropagationLossModel::GetTypeId());
    lte->SetPathlossModelAttribute("Exponent", DoubleValue(3.76));
    lte->SetPathlossModelAttribute("ReferenceLoss", DoubleValue(128.1 - 3 * 37.6));
    if (!fading.empty())
    {
        lte->SetFadingModel("ns3::TraceFadingLossModel");
        lte->SetFadingModelAttribute("TraceFilename", StringValue(fading));
        lte->SetFadingModelAttribute("TraceLength", TimeValue(Seconds(10)));
        lte->SetFadingModelAttribute("SamplesNum", UintegerValue(10000));
        lte->SetFadingModelAttribute("WindowSize", TimeValue(Seconds(1)));
        lte->SetFadingModelAttribute("RbNum", UintegerValue(nRb));
    }
    const std::vector<double> distances_m = Numbers(distances);
    NetDeviceContainer enb = lte->InstallEnbDevice(PlaceNodes({0}));
    NetDeviceContainer ues = lte->InstallUeDevice(PlaceNodes(distances_m));
    lte->Attach(ues, enb.Get(0));
    lte->ActivateDataRadioBearer(ues, EpsBearer(EpsBearer::NGBR_VIDEO_TCP_DEFAULT));

    Simulator::Schedule(MilliSeconds(settle_ms), &StartMeasuring);
    Simulator::Stop(MilliSeconds(settle_ms + duration_ms));
    Simulator::Run();

    const int groupRb = nRb <= 10 ? 1 : nRb <= 26 ? 2 : nRb <= 63 ? 3 : 4; // 3GPP TS 36.213 table 7.1.6.1-1
    const int nGroups = nRb / groupRb;                                      // ns-3 grants whole groups only
    std::cout << "{\"scheduler\": \"" << scheduler << "\", \"duration_ms\": " << duration_ms
              << ", \"group_rb\": " << groupRb << ", \"n_reported\": " << (nRb + groupRb - 1) / groupRb
              << ", \"bits\": [";
    PrintBits(groupRb, nGroups);
    std::cout << "], \"users\": [";
    for (uint32_t i = 0; i < ues.GetN(); ++i)
    {
        const uint16_t rnti = ues.Get(i)->GetObject<LteUeNetDevice>()->GetRrc()->GetRnti();
        User& user = g_users[rnti];
        user.distance_m = distances_m[i];
        user.isFading = !fading.empty();
        std::cout << (i ? ", " : "");
        PrintUser(rnti, user);
    }
    std::cout << "]}" << std::endl;
    Simulator::Destroy();
    return 0;
}
